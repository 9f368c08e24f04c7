"""Sphinx extension: what makes a page of the book work with no network.

Plotly figures carry their data only (chapter.py has the renderer that HANDBOOK asks for);
plotly.js lies once in _static and is loaded by the pages that hold a figure. MathJax lies beside it, and so do the
scripts of the live page.
"""

import datetime
import inspect
import os
import re
import shutil
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path

from docutils import nodes
from plotly_bundle import plotly_script
from sphinx.transforms import SphinxTransform
from wrapping import wrap

import handlib
from handlib.photo.live_page import write_scripts

# The parts of MathJax that `tex-mml-chtml.js` loads: its fonts, and TeX extensions on first use.
MATHJAX = ["tex-mml-chtml.js", "input/tex/extensions", "output/chtml/fonts/woff-v2"]

PICTURES = {"image/png", "image/svg+xml", "text/html"}  # what a cell shows that is no text
SIGNATURE = re.compile(r'<dt class="sig .*?</dt>', re.S)
ARGUMENT = re.compile(r"(?:(?<=\. )|(?<=\n)|\A)(\w+(?:, \w+)*):\s+(?=\S)")
PAPER_RANGES = {"4": "P4–P6"}  # displayed as one block here


def copy_scripts(app):
    if app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    mathjax = files("sphinx-mathjax-offline") / "static" / "mathjax"
    sources = {f"mathjax/{name}": mathjax / name for name in MATHJAX}
    sources["plotly.min.js"] = plotly_script(Path(app.outdir).parent / "npm")
    for name, source in sources.items():
        (static / name).parent.mkdir(parents=True, exist_ok=True)
        with as_file(source) as path:
            if path.is_dir():
                shutil.copytree(path, static / name, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, static / name)
    write_scripts(static / "live")


def finish_page(app, pagename, templatename, context, doctree):
    if "body" in context:
        # Sphinx writes the arguments of a signature as definitions without a term, which screen readers stumble over.
        body = SIGNATURE.sub(lambda found: re.sub("<(/?)d[ld]>", r"<\1div>", found[0]), context["body"])
        body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')  # of no items
        body = body.replace("✅", "ran")  # on the page of what ran; not every font has the sign
        context["body"] = re.sub(r'<figure (?=class="[^"]*\bwide\b)', '<figure tabindex="0" ', wrap(body))  # it scrolls
    if "plotly-graph-div" in context.get("body", ""):
        app.add_js_file("plotly.min.js", priority=100)  # before the figures' inline scripts call it
    # Jupyter Book adds Thebe twice, to pages that have no live code: the second declaration is an error there.
    scripts = context["script_files"]
    scripts[:] = [script for script in scripts if "thebe" not in f"{script.filename} {script.attributes}".lower()]


class JoinFigures(SphinxTransform):
    """What a cell shows under its caption is one figure with one number; text among it stays outside."""

    default_priority = 200  # before Sphinx gives figures their ids

    def apply(self):
        for output in self.document.findall(nodes.container):
            if output.get("nb_element") != "cell_code_output":
                continue
            first = None
            for figure in [child for child in output.children if isinstance(child, nodes.figure)]:
                bundle = figure.children[0]
                if not any(form["mime_type"] in PICTURES for form in bundle.children):
                    figure.replace_self(bundle)
                elif first is None:
                    first = figure
                else:
                    output.remove(figure)
                    first.insert(-1, bundle)  # above the caption


def number_equations(app, env):
    """Equations labeled P8, P12 … are the paper's and keep its numbers; ours are counted without them."""
    for figures in env.toc_fignumbers.values():
        ours = 0
        for node, number in figures.get("displaymath", {}).items():
            paper = re.fullmatch(r"equation-p(\d+)", node)
            ours += not paper
            chapter = ".".join(map(str, number)).split(".")[:-1]
            tag = PAPER_RANGES.get(paper[1], f"P{paper[1]}") if paper else ".".join([*chapter, str(ours)])
            figures["displaymath"][node] = (tag,)
    return []


def read_docstring(app, what, name, thing, options, lines):
    """Docstrings are written for people: an argument's `name: what it is` is one item of a list, and where a line is
    broken means nothing."""
    known = set(inspect.signature(thing).parameters) if callable(thing) else set()
    made = []
    for paragraph in "\n".join(line.strip() for line in lines).split("\n\n"):
        for part in _parts(paragraph, known):
            item = ARGUMENT.match(part)
            made += [f"- `{item[1]}`: {part[item.end() :]}" if item and _names(item) <= known else part, ""]
    lines[:] = made


def _parts(paragraph, known):
    """A paragraph, cut where a sentence or a line has ended and the name of an argument follows."""
    starts = {0} | {found.start() for found in ARGUMENT.finditer(paragraph) if _names(found) <= known}
    cuts = [*sorted(starts), len(paragraph)]
    return [" ".join(paragraph[i:j].split()) for i, j in pairwise(cuts)]


def _names(found):
    return set(found[1].split(", "))


def state_version(app, config):
    """Every page says which handlib made it, and when."""
    theme = config.html_theme_options
    made = f"<p>handlib {handlib.__version__}, built on {datetime.date.today().isoformat()}.</p>"
    theme["extra_footer"] = theme.get("extra_footer", "") + made


def setup(app):
    os.environ["HANDBOOK"] = "1"  # the notebooks' kernels inherit both; so does `make book`, which runs them first
    os.environ["TQDM_DISABLE"] = "1"  # a progress bar is junk on a page
    app.add_transform(JoinFigures)
    app.connect("config-inited", state_version, priority=900)
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("builder-inited", copy_scripts)
    app.connect("html-page-context", finish_page)
    app.connect("env-get-updated", number_equations, priority=900)  # after the numbers were given
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
