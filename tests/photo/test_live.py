"""The live page's engine: in node it says of a picture what Python says, and its file is made of what ships."""

import gzip
import json
import math
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from live_pictures import write_goldens, write_video_goldens
from safetensors.torch import load

from handlib.networks.published import landmark_network, palm_network
from handlib.photo import find
from handlib.photo.live import KERNELS, constants, landmark_program, live_file, live_pack, palm_program
from handlib.photo.predict import Predictor

LIVE = Path(str(files("handlib.viz") / "static/live"))
SCRIPTS = Path(__file__).parents[1] / "viz/live"
ASSEMBLYSCRIPT = "assemblyscript@0.28.20"
MOST_BYTES = 14_000_000
MOST = {
    "h": 1e-4,
    "vertices_mm": 0.1,
    "joints_px": 0.05,
    "score": 1e-4,
    "confidence": 1e-3,
    "placement": 1e-4,
    "K": 0.05,
}
in_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node here: apt-get install nodejs npm")


@pytest.fixture(scope="module")
def predictor():
    return Predictor()


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "live.bin.gz"
    path.write_bytes(live_file())
    return path


def compared(pack: Path, folder: Path, *kind: str) -> dict:
    command = ["node", str(SCRIPTS / "parity.mjs"), str(pack), str(folder), *kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def assert_equal(differences: dict | None, name: str) -> None:
    assert differences is not None, f"{name}: other hands than Python's"
    for field, most in MOST.items():
        assert differences[field] <= most, f"{name}: {field} is off by {differences[field]}"


# ---- the file


def test_file_is_small_and_the_same_each_time(pack):
    assert live_file() == pack.read_bytes()
    data = gzip.decompress(pack.read_bytes())
    assert pack.stat().st_size < len(data) < MOST_BYTES
    tensors = load(data)
    for kernels in KERNELS:
        assert bytes(tensors[kernels].tolist()) == (LIVE / f"{kernels}.wasm").read_bytes()


@pytest.mark.parametrize(
    "network, program",
    [(palm_network, palm_program), (landmark_network, landmark_program)],
    ids=["palms", "landmarks"],
)
def test_weights_lose_nothing_and_all_are_used(network, program):
    made = program(network())
    named = dict(network().named_parameters())
    assert {name.split(".", 1)[1] for name in made.weights} == named.keys()
    for name, value in made.weights.items():
        assert torch.equal(value.float(), named[name.split(".", 1)[1]])
    for number, step in enumerate(made.steps, 1):
        assert 0 <= step["input"] < number and (step.get("add") or 0) < number


def test_constants_are_those_of_the_modules():
    live = live_pack()[1]["constants"]
    assert live["find"]["MOVES"] == find.MOVES and live["fit"]["FIRST"] == 5
    assert constants(math) == {} and "NOISE" in live["lift"] and "LIMITS" in live["anatomy"]


# ---- the engine


@in_node
@pytest.mark.slow
def test_pictures_give_what_python_says(predictor, rendered, pack, tmp_path):
    names = write_goldens(tmp_path, predictor, rendered)
    found = compared(pack, tmp_path)
    assert found["simd"] and len(names) == 10 and found["pictures"].keys() == set(names)
    for name, differences in found["pictures"].items():
        assert_equal(differences, name)
    assert found["gradient"] < 1e-6
    for name, effect in found["switches"].items():
        assert effect["moves_mm"] > 0.1 and effect["falls"] and effect["told"], f"{name}: {effect}"
        assert effect["assumed"] == (name != "K") and (name != "K" or effect["focal"] == 900)


@in_node
@pytest.mark.slow
def test_video_gives_what_python_says(predictor, rendered, pack, tmp_path):
    count = write_video_goldens(tmp_path, predictor, rendered)
    frames = compared(pack, tmp_path)["video"]
    assert len(frames) == count
    for number, differences in enumerate(frames):
        assert_equal(differences, f"frame {number}")


@in_node
@pytest.mark.slow
def test_without_simd_the_answer_is_the_same(predictor, rendered, pack, tmp_path):
    write_goldens(tmp_path, predictor, rendered, ["left"])
    found = compared(pack, tmp_path, "plain")
    assert not found["simd"]
    assert_equal(found["pictures"]["left"], "left")


@in_node
def test_damaged_file_is_refused(pack, tmp_path):
    (tmp_path / "short").write_bytes(gzip.decompress(pack.read_bytes())[:100_000])
    engine = (LIVE / "engine.js").as_uri()
    script = f'import {{ Engine }} from "{engine}"; import {{ readFileSync }} from "node:fs";'
    script += f'const b = readFileSync("{tmp_path / "short"}"); await Engine.load(new Uint8Array(b).buffer);'
    done = subprocess.run(["node", "--input-type=module", "--eval", script], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "model file is not whole" in done.stderr


@in_node
@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_built_from_their_source(name, tmp_path):
    if shutil.which("npx") is None:
        pytest.skip("no npx here, which brings AssemblyScript: apt-get install npm")
    built = tmp_path / f"{name}.wasm"
    options = "-O3 --noAssert --runtime stub --importMemory --enable simd".split()
    options += ["--enable", "relaxed-simd"] if name == "relaxed" else []
    command = ["npx", "--yes", "--package", ASSEMBLYSCRIPT, "asc", str(LIVE / "simd.ts"), *options, "-o", str(built)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if "npm error" in done.stderr and not built.exists():
        pytest.skip(f"npm cannot bring {ASSEMBLYSCRIPT} here: {done.stderr.splitlines()[0]}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert built.read_bytes() == (LIVE / f"{name}.wasm").read_bytes(), f"{name}.wasm is not simd.ts's: build it again"
