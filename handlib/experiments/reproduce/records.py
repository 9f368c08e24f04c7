"""What every results file of a suite says about itself, and the files in which chosen learning rates stand."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

from ...evaluation import results
from ...evaluation.evaluate import Curves
from .experiments import Experiment
from .measure import Errors, keep_errors
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
    words += ["--seeds", str(suite.seeds)] if suite.seeds else []
    return shlex.join(words + suite.equipment.words)


def write_measured(
    suite: Suite,
    experiment: Experiment,
    test: str,
    seed: int,
    claim: str,
    metrics: list[results.Metric],
    curves: Curves,
    errors: Errors,
    trained: float,
    settings: dict[str, Any],
    data: dict[str, Any],
    started: float,
    synthetic: bool,
    device: str = "cpu",
) -> None:
    """Writes a results file, and the errors of hands beside it. trained: minutes."""
    path = suite.record(experiment.name, test, seed)
    record = results.record(
        path.stem, claim, [*metrics, results.Metric("training_minutes", trained, "minutes")], started=started,
        config=about(suite, experiment, test) | settings, data=data, curves=curves, synthetic=synthetic, device=device,
        seed=seed, hand=hand_of(suite), profile=suite.profile, command=command_of(suite, experiment),
    )  # fmt: skip
    kept = keep_errors(errors, path.with_suffix(".safetensors"))
    results.write(record | {"minutes": round(record["minutes"] + trained, 3), "errors": kept}, path.parent)


def read_rate(path: Path, name: str) -> float:
    """`ValueError` for a file that says none."""
    try:
        rate = float(json.loads(path.read_text(encoding="utf-8"))[name])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: delete it, and the learning rate is chosen again") from error
    if not (rate > 0 and math.isfinite(rate)):
        raise ValueError(f"{path}: the field '{name}' must be a number above 0; delete the file")
    return rate
