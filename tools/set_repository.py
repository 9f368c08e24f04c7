"""Writes the address of the repository into all files: `make repository URL=https://github.com/you/handlib`.

_config.yml holds the address (repository: url:). Some files need a copy: README, package metadata, citation, and the
Colab cell of each chapter, which installs handlib. Without an argument, the address in _config.yml is copied.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")  # GitHub: Colab opens from there


def slug(url):
    """Returns 'you/handlib' for 'https://github.com/you/handlib'."""
    match = REPOSITORY.fullmatch(url)
    if not match:
        raise SystemExit(f"{url!r} is not an address of the form https://github.com/you/handlib")
    return match[1]


def stated(root=ROOT):
    """Returns the address in _config.yml."""
    return re.search(r"^repository:\n  url: (\S+)", (root / "_config.yml").read_text("utf-8"), re.M)[1]


def copies(root=ROOT):
    """Returns the files that have a copy of the address."""
    names = ["README.md", "pyproject.toml", "CITATION.cff"]
    names += ["tools/course/cells.py", "tools/course/links.py"]
    chapters = sorted(p for p in (root / "book").iterdir() if p.suffix in (".md", ".ipynb"))
    return [root / name for name in names if (root / name).exists()] + chapters


def last_written(root=ROOT):
    """Returns the address in the copies, from pyproject.toml."""
    return re.search(r'^Repository = "(\S+)"', (root / "pyproject.toml").read_text("utf-8"), re.M)[1]


def replace(path, old, new):
    """Replaces it in addresses of GitHub, Colab and the site, but not in github.com/old-fork."""
    text = path.read_text("utf-8")
    replaced = re.sub(rf"(github(?:\.com)?/){re.escape(old)}(?![\w-])", rf"\g<1>{new}", text)
    pages_old, pages_new = (slug.replace("/", ".github.io/") for slug in (old, new))
    replaced = re.sub(rf"(https://){re.escape(pages_old)}(?![\w-])", rf"\g<1>{pages_new}", replaced)
    if replaced != text:
        path.write_text(replaced, "utf-8")
        print(f"{path}: {old} -> {new}")


def set_repository(url, root=ROOT):
    """Writes `url` to _config.yml, and to all copies in place of their address."""
    new, old = slug(url), slug(last_written(root))
    replace(root / "_config.yml", slug(stated(root)), new)
    for path in copies(root):
        replace(path, old, new)


if __name__ == "__main__":
    set_repository(sys.argv[1] if len(sys.argv) > 1 else stated())
