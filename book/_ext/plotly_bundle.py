"""The plotly.js that the pages load: meshes and lines alone, a third of all of it, where npm can fetch it."""

import re
import subprocess
import tarfile
from importlib.resources import files
from pathlib import Path

PACKAGE = "plotly.js-gl3d-dist-min"
MEMBER = "package/plotly-gl3d.min.js"
WHOLE = files("plotly") / "package_data" / "plotly.min.js"


def plotly_script(cache):
    """A file with plotly.js: the small bundle, kept in `cache`, of the version that Python's plotly is made for.

    Without npm, or without a network, the whole plotly.js, which the Python package brings.
    """
    with WHOLE.open(encoding="utf-8") as script:
        version = re.search(r"plotly\.js v([\d.]+)", script.read(300))[1]
    small = Path(cache, f"plotly-gl3d-{version}.min.js")
    if not small.is_file():
        try:
            _fetch(version, small)
        except (OSError, subprocess.SubprocessError, KeyError, tarfile.TarError) as error:
            print(f"pages load the whole plotly.js, since npm did not give {PACKAGE}@{version}: {error}")
            return WHOLE
    return small


def _fetch(version, small):
    small.parent.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", "--silent", f"{PACKAGE}@{version}"]  # npm checks the package against its digest
    done = subprocess.run(command, cwd=small.parent, capture_output=True, text=True, timeout=120, check=True)
    package = small.parent / done.stdout.strip().splitlines()[-1]
    with tarfile.open(package) as archive:
        script = archive.extractfile(MEMBER).read()
    part = small.with_suffix(".part")
    part.write_bytes(script)
    part.replace(small)
    package.unlink()
