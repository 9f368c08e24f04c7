"""Where numba is there but cannot be used as it should be."""

import os
import subprocess
import sys

import pytest

from handlib.support import jit


def test_numba_that_cannot_be_imported(tmp_path):
    """As beside a numpy newer than it knows: said once, and plain torch does the work."""
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 2.5 or less')")
    code = "from handlib import HandModel; from handlib.support import jit; HandModel.load().template"
    code += "; print(jit.available(), jit.available())"
    path = os.pathsep.join((str(tmp_path), *sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=True
    )
    assert done.stdout.split() == ["False", "False"]
    assert done.stderr.count("numba cannot be used, so handlib runs more slowly: Numba needs NumPy 2.5 or less") == 1


def test_numba_without_a_folder_to_cache_in(monkeypatch):
    numba = pytest.importorskip("numba", reason="an optional extra: pip install numba")

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)
    assert jit.jit(lambda x: x + 1)(1) == 2


def test_numba_is_left_out_where_it_is_not_worth_its_import():
    """It counts in `handlib predict`: neither numba nor torch's compiler is loaded for one photograph's hand."""
    code = """
import sys, torch
from handlib import HandModel, fit
from handlib.support import jit
with jit.left_out():
    hand = HandModel()
    fit(hand().joints[:, :2] * 1000, hand=hand)
    print(jit.available(), sorted({"numba", "sympy", "torch._dynamo"} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False []"
