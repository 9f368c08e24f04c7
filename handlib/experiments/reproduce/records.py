"""What every results file of a suite says about itself, and the files in which chosen learning rates stand."""

import json
import math
import shlex
from pathlib import Path

from ...support.files import atomic_path
from .experiments import Experiment
from .sets import PHOTOS
from .suite import Suite


def about(suite: Suite, experiment: Experiment, test: str) -> dict:
    """What tables find a record by."""
    name = f"{suite.name}-{PHOTOS}" if test == PHOTOS and not suite.hands.specs else suite.name
    return {"suite": name, "experiment": experiment.name, "test": test, "scale": suite.described, "files": suite.files}


def hand_of(suite: Suite) -> dict[str, str]:
    model = suite.scale.train.model
    return {"name": Path(model.hand).stem, "fingertips": model.fingertips}


def command_of(suite: Suite, experiment: Experiment) -> str:
    """It makes this results file among others: all seeds and test sets of the experiment."""
    words = ["handlib", "reproduce", "all", "--profile", suite.profile, "--only", experiment.name]
    words += ["--data", suite.hands.described] if suite.hands.specs else []
    words += ["--photographs", "PATH"] if suite.photographs else []
    return shlex.join(words + suite.equipment.words)


def write_rate(path: Path, chosen: dict) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(chosen) + "\n", encoding="utf-8")


def read_rate(path: Path, name: str) -> float:
    """`ValueError` for a file that says none."""
    try:
        rate = float(json.loads(path.read_text(encoding="utf-8"))[name])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: delete it, and the learning rate is chosen again") from error
    if not (rate > 0 and math.isfinite(rate)):
        raise ValueError(f"{path}: the field '{name}' must be a number above 0; delete the file")
    return rate
