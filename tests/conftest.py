"""Fixtures shared by all tests. Every shape and type annotated in handlib is checked while they run.

The hook goes in before anything imports handlib. PEP 484's numeric tower: an int may stand where a float is annotated.
"""

import os
from pathlib import Path
from typing import NamedTuple

import jaxtyping
import pytest
import torch
from chromium import launched

if not os.environ.get("HANDLIB_UNCHECKED"):  # `make quick`: the check of shapes costs seconds a file at import
    jaxtyping.install_import_hook("handlib", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # Triton reads it when it is imported, which nothing has done so far

COSTLY = {"trained", "browser"}  # fixtures: a test that uses one is slow
LEADS = [(), (2,), (1, 2)]  # leading batch shapes that every function of the geometry is tried with


class Run(NamedTuple):
    """A finished training run of the smoke profile."""

    model: torch.nn.Module  # a DHPE in evaluation mode
    folder: Path
    cache: Path  # of the rendered hands

    @property
    def checkpoint(self) -> Path:
        return self.folder / "model.safetensors"


def pytest_collection_modifyitems(items):
    for item in items:
        if COSTLY.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


@pytest.fixture
def handlib_command(monkeypatch, capsys):
    """Calls `handlib …`; returns its exit status, what it printed, and its errors."""
    from handlib.cli import commands

    def call(*arguments):
        monkeypatch.setattr("sys.argv", ["handlib", *map(str, arguments)])
        status = 0
        try:
            commands.main()
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def hand():
    from handlib import HandModel

    return HandModel.load()


@pytest.fixture(scope="module")
def tiny():
    """A DHPE of random weights for images of 32 pixels, in evaluation mode."""
    from handlib import DHPE, DHPEConfig

    torch.manual_seed(0)
    return DHPE(DHPEConfig(size=32, feature_width=4, features=16, pose_width=4, hidden=8)).eval()


@pytest.fixture
def images(generator) -> torch.Tensor:
    """Two images of noise, which `tiny` takes."""
    return torch.rand(2, 3, 32, 32, generator=generator)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Run:
    """Read-only: copy the folder before changing anything in it."""
    from handlib.training.train import preset, train

    home = tmp_path_factory.mktemp("smoke")
    folder, cache = home / "run", home / "cache"
    return Run(train(preset("smoke"), folder, cache=cache, progress=False), folder, cache)


@pytest.fixture(scope="session")
def data(trained):
    """Sixteen rendered hands of the validation split, 64 pixels wide."""
    from handlib.data import CachedHands, SyntheticHands

    return CachedHands.make(SyntheticHands("val", 64, 16), folder=trained.cache, progress=False)


@pytest.fixture(scope="session")
def batch(data) -> dict[str, torch.Tensor]:
    """The first four of them."""
    return data.batch(torch.arange(4))


@pytest.fixture(scope="session")
def rendered() -> dict[str, torch.Tensor]:
    """Five rendered right hands in pictures of 256 pixels, twice their boxes; the first three are easy to find."""
    from handlib.data import SyntheticHands

    return SyntheticHands("studio", 256, 24, crop_factor=2.0).batch(torch.tensor([18, 20, 22, 12, 16]))


@pytest.fixture
def unchecked():
    """Without the checks of shapes, for the errors that handlib itself raises where no checker runs."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=LEADS, ids=str)
def lead(request) -> tuple[int, ...]:
    return request.param


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser
