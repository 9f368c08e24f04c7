"""The live page's JavaScript: its unit tests in node, its types, and what joins its modules to one script."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from handlib.viz import scripts
from handlib.viz.scripts import joined
from handlib.viz.widgets import named_poses

HERE = Path(__file__).parent / "live"
LIVE = Path(scripts.__file__).parent / "static/live"
TYPESCRIPT = "typescript@5.9.3"
in_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here: apt-get install nodejs npm")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@in_node
@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda path: path.name.split(".")[0])
def test_in_node(file):
    assert "# pass 0" not in run("node", "--test", "--test-reporter=tap", str(file))


@in_node
@pytest.mark.slow
def test_types_hold():
    if shutil.which("npx") is None:
        pytest.skip("no npx here, which brings TypeScript: apt-get install npm")
    run("npx", "--yes", "--package", TYPESCRIPT, "tsc", "-p", str(HERE))


@in_node
def test_named_poses_in_words(hand):
    """What a reader would call the poses that the open hand names, right or left, seen from anywhere."""
    expected = {
        "flat": "all fingers extended",
        "fist": "no finger extended",
        "point": "index finger extended",
        "thumbs-up": "thumb extended",
        "spread": "all fingers extended",
        "asl-2": "index and middle finger extended",
        "asl-3": "thumb, index and middle finger extended",
        "asl-4": "all fingers but the thumb extended",
    }
    poses, turn = named_poses(hand), torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    hands = [hand(poses[name], torch.zeros(10)).joints @ turn.T + 0.5 for name in expected]
    asked = json.dumps([{"side": "left", "joints_cam": joints.flatten().tolist()} for joints in hands])
    script = f'import {{ handInWords }} from "{(LIVE / "words.js").as_uri()}";\n{asked}.map(handInWords).forEach('
    said = run("node", "--input-type=module", "--eval", script + "(text) => console.log(text));").splitlines()
    assert said == [f"left hand, {words}" for words in expected.values()]


# ---- joined


@in_node
@pytest.mark.parametrize("entry", ["explorer.js", "live/page.js", "live/worker.js"])
def test_joined_scripts_are_classic_ones(entry, tmp_path):
    (tmp_path / "joined.cjs").write_text(joined(entry), "utf-8")
    run("node", "--check", str(tmp_path / "joined.cjs"))


@pytest.fixture
def static(tmp_path, monkeypatch):
    """A folder of modules in the place of handlib's."""
    (tmp_path / "static/part").mkdir(parents=True)
    monkeypatch.setattr(scripts, "files", lambda _: tmp_path)
    return tmp_path / "static"


@in_node
def test_a_module_comes_once_and_before_those_who_import_it(static):
    imports = 'import { b } from "./part/b.js";\nimport { c, d as other } from "./c.js";\n'
    (static / "a.js").write_text(f"{imports}const own = 1;\nconsole.log(b, c, other, own);\n")
    (static / "part/b.js").write_text('import { c } from "../c.js";\nconst own = 20;\nexport const b = own * c;\n')
    (static / "c.js").write_text("const own = 2;\nexport const c = own;\nexport async function d() {}\n")
    text = joined("a.js")
    assert text.count("own = 2;") == 1
    assert run("node", "--eval", text).strip() == "40 2 [AsyncFunction: d] 1"


@pytest.mark.parametrize(
    "b, message",
    [
        ('import { a } from "./a.js";\nexport const b = 1;\n', "circle: a.js → b.js → a.js"),
        ('import b from "./c.js";\n', "'import b from .*' cannot be joined"),
        ("const b = 1;\nexport { b };\n", "'export { b };' cannot be joined"),
    ],
)
def test_what_cannot_be_joined_is_said(static, b, message):
    (static / "a.js").write_text('import { b } from "./b.js";\nexport const a = b;\n')
    (static / "b.js").write_text(b)
    with pytest.raises(ValueError, match=message):
        joined("a.js")
