"""What the pages of the book share."""

import os
from pathlib import Path

from handlib.evaluation.results import read, value


def chapter_cost(folder: str | os.PathLike[str], chapter: str) -> str:
    """What running a notebook of the book cost where it was last measured, as a sentence."""
    path = Path(folder) / "chapters-laptop.json"
    if not path.is_file():
        return f"The cost of this chapter was not measured: {path} is missing."
    measured = read(path)
    if f"{chapter}_minutes" not in {metric["name"] for metric in measured["metrics"]}:
        return f"The cost of this chapter was not measured yet: {path} does not name it."
    minutes, memory = value(measured, f"{chapter}_minutes"), value(measured, f"{chapter}_peak_memory_mb")
    return (
        f"Running this notebook at the {measured['profile']} profile took {minutes:.1f} min and {memory / 1000:.1f} GB "
        f"of memory on {measured['device']}."
    )
