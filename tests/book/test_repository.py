"""The repository's address: stated in _config.yml, the same in all the files that hold a copy."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("set_repository", ROOT / "tools" / "set_repository.py")
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)

# Where an address can only be our own: what pip installs from, what Colab opens.
OURS = re.compile(r"git\+(https://github\.com/[\w./-]+)|colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/blob/")


@pytest.mark.parametrize("path", tool.copies(), ids=lambda path: path.name)
def test_copies_agree_with_config(path):
    text = path.read_text("utf-8")
    slug = tool.slug(tool.stated())
    found = {tool.slug(url) if url else name for url, name in OURS.findall(text)}
    assert found <= {slug}, f"{path.name} holds {found}, _config.yml {slug}: run `make repository`"
    if path.name in ("README.md", "pyproject.toml", "CITATION.cff"):
        assert f"https://github.com/{slug}" in text


def test_set_repository_changes_every_copy_and_nothing_else(tmp_path):
    for path in [ROOT / "_config.yml", *tool.copies()]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    before = {path: path.read_text("utf-8") for path in tool.copies(tmp_path)}
    old = tool.slug(tool.stated())

    tool.set_repository("https://github.com/some-one/hands.git", tmp_path)
    assert tool.stated(tmp_path) == tool.last_written(tmp_path) == "https://github.com/some-one/hands"
    for path, text in before.items():
        back = path.read_text("utf-8").replace("some-one.github.io/hands", old.replace("/", ".github.io/"))
        assert back.replace("some-one/hands", old) == text

    tool.set_repository(f"https://github.com/{old}", tmp_path)  # and back
    assert {path: path.read_text("utf-8") for path in before} == before


@pytest.mark.parametrize("url", ["", "you/handlib", "http://github.com/you/handlib", "https://github.com/you"])
def test_other_addresses_are_refused(url):
    with pytest.raises(SystemExit, match="https://github.com/you/handlib"):
        tool.slug(url)
