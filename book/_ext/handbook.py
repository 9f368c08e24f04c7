"""Sphinx extension: what makes a page of the book work with no network.

Plotly figures carry their data only (chapter.py has the renderer that HANDBOOK asks for);
plotly.js, 5 MB, lies once in _static and is loaded by the pages that hold a figure. MathJax lies beside it, and so do
the scripts of the live page.
"""

import os
import shutil
from importlib.resources import as_file, files
from pathlib import Path

from handlib.photo.live_page import write_scripts

# The parts of MathJax that `tex-mml-chtml.js` loads: its fonts, and TeX extensions on first use.
MATHJAX = ["tex-mml-chtml.js", "input/tex/extensions", "output/chtml/fonts/woff-v2"]


def copy_scripts(app):
    if app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    mathjax = files("sphinx-mathjax-offline") / "static" / "mathjax"
    sources = {f"mathjax/{name}": mathjax / name for name in MATHJAX}
    sources["plotly.min.js"] = files("plotly") / "package_data" / "plotly.min.js"
    for name, source in sources.items():
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        with as_file(source) as path:
            if path.is_dir():
                shutil.copytree(path, static / name, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, static / name)
    write_scripts(static / "live")


def choose_scripts(app, pagename, templatename, context, doctree):
    if "plotly-graph-div" in context.get("body", ""):
        app.add_js_file("plotly.min.js", priority=100)  # before the figures' inline scripts call it
    # Jupyter Book adds Thebe twice, to pages that have no live code: the second declaration is an error there.
    scripts = context["script_files"]
    scripts[:] = [script for script in scripts if "thebe" not in f"{script.filename} {script.attributes}".lower()]


def setup(app):
    os.environ["HANDBOOK"] = "1"  # the notebooks' kernels inherit both
    os.environ["TQDM_DISABLE"] = "1"  # a progress bar is junk on a page
    app.connect("builder-inited", copy_scripts)
    app.connect("html-page-context", choose_scripts)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
