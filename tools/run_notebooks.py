"""Runs every notebook of readers outside of the repository against the built wheel: `make colab`.

So they run on Colab: nothing but the wheel is installed, and the book's files are fetched by the first cell. At the
smoke profile, or at $HANDLIB_PROFILE.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUN = """
import sys, nbformat, nbclient, handlib
assert handlib.__file__.startswith(sys.argv[2]), f"{handlib.__file__} is not the wheel's"
nbclient.NotebookClient(nbformat.read(sys.argv[1], 4), timeout=1800).execute()
"""


def build_wheel(home):
    """handlib as it is installed from its wheel, in a folder of its own."""
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(home), str(ROOT)], check=True)
    (built,) = Path(home).glob("handlib-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(home / "site"), str(built)], check=True)
    return home / "site"


def run(notebook, folder, site, **environment):
    """Executes a notebook in `folder`, with the handlib at `site` alone."""
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith("HANDLIB_") or key == "HANDLIB_CACHE"
    }
    profile = os.environ.get("HANDLIB_PROFILE", "smoke")
    clean |= {"PYTHONPATH": str(site), "HANDLIB_PROFILE": profile, "TQDM_DISABLE": "1", **environment}
    command = [sys.executable, "-c", RUN, str(notebook), str(site)]
    return subprocess.run(command, cwd=folder, env=clean, capture_output=True, text=True)


def main():
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        site = build_wheel(Path(folder))
        for notebook in sorted((ROOT / "book").glob("*.ipynb")):
            done = run(notebook, folder, site, HANDLIB_REPOSITORY=str(ROOT))
            print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {notebook.name}", flush=True)
            if done.returncode:
                failed.append(notebook.name)
                print(done.stderr[-2000:])
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
