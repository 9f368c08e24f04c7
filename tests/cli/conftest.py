"""`handlib …` called as a user does, with the cache of the tests."""

import pytest

from handlib.viz.plots import to_image


@pytest.fixture
def run(handlib_command, monkeypatch, trained):
    """`handlib …`, with the cache of the tests."""
    for name in ("ablate", "evaluate", "info", "train"):
        monkeypatch.setattr(f"handlib.cli.{name}.CACHE", trained.cache)
    return handlib_command


@pytest.fixture
def refused(run):
    """Calls that the user can mend: status 2, nothing printed, one line on stderr, which is returned."""

    def call(*arguments):
        status, out, err = run(*arguments)
        lines = [line for line in err.splitlines() if "|" not in line]  # without progress bars
        assert status == 2 and not out and len(lines) == 1 and lines[0].startswith("handlib: "), (status, out, err)
        return lines[0]

    return call


@pytest.fixture(scope="module")
def picture(batch, tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "palm.png"
    to_image(batch["image"][1]).save(path)
    return path
