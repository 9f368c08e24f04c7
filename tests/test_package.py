"""What `import handlib` promises: public names, and how little the method loads."""

import importlib
import json
import subprocess
import sys

import pytest

import handlib

METHOD = ("dhpe", "evidence", "regressor", "losses", "refinement", "augmentation")
ROOMS_NOT_NEEDED = ("data", "training", "evaluation", "experiments", "viz", "photo", "cli")


def loaded_by(code: str) -> list[str]:
    """The modules that a new process has after some code."""
    code += "\nimport json, sys; print(json.dumps({n: getattr(m, '__file__', None) for n, m in sys.modules.items()}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_import_loads_nothing_else():
    loaded = loaded_by("import handlib")
    assert [name for name in loaded if name.split(".")[0] == "handlib"] == ["handlib"]
    assert "torch" not in loaded and "numpy" not in loaded


def test_the_method_fits_on_a_desk():
    """Six files and what they need, without torch's compiler, which roma would bring."""
    loaded = loaded_by("import " + ", ".join(f"handlib.{name}" for name in METHOD))
    ours = {name: path for name, path in loaded.items() if name.split(".")[0] == "handlib"}
    assert {f"handlib.{name}" for name in METHOD} <= ours.keys() and len(ours) <= 35
    lines = 0
    for path in ours.values():
        with open(path, encoding="utf-8") as file:
            lines += len(file.readlines())
    assert lines <= 4200
    assert [name for name in ours if name.split(".")[1:2] and name.split(".")[1] in ROOMS_NOT_NEEDED] == []
    assert not {"torch._dynamo", "numba", "tyro", "plotly", "PIL"} & loaded.keys()


@pytest.mark.parametrize("name", handlib.__all__)
def test_public_names(name):
    assert getattr(handlib, name).__name__.split(".")[-1] == name and name in dir(handlib)


def test_public_names_load_no_compiler():
    """Nor do the benchmark and the hand's rotations, before one is computed by roma."""
    loaded = loaded_by("from handlib import *; import handlib; handlib.data.SyntheticHands")
    assert "handlib.fitting" in loaded and not {"torch._dynamo", "roma.mappings"} & loaded.keys()
    assert "roma.mappings" in loaded_by("import handlib, roma; roma.rotvec_to_rotmat")


def test_rooms_are_attributes():
    assert handlib.data.SyntheticHands is importlib.import_module("handlib.data").SyntheticHands
    assert {"losses", "data", "hand"} <= set(dir(handlib)) and handlib.__version__


def test_unknown_names_are_an_error():
    with pytest.raises(AttributeError, match="module 'handlib' has no attribute 'hands'"):
        _ = handlib.hands
    with pytest.raises(ModuleNotFoundError, match="handlib.hands"):
        importlib.import_module("handlib.hands")
