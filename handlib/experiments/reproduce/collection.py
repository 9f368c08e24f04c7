"""Results files of `reproduce`, gathered: which runs there are, and each number as a mean with its spread over seeds.

Smoke runs are left out, always. Records of one experiment on one test set must differ by their seed alone.
"""

import hashlib
import os
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import load

from ...evaluation import results
from .experiments import EXPERIMENTS, tests_of
from .sets import PHOTOS, PREFIX, SPLITS
from .statistics import Differences, Effect, paired_bootstrap

OPEN_HAND = {"name": "openhand", "fingertips": "smplx"}  # as records name it


class Value(NamedTuple):
    """A number over seeds: mean, standard deviation (n − 1; None of one seed) and number of seeds."""

    mean: float
    spread: float | None
    seeds: int

    @classmethod
    def of(cls, values: Iterable[float]) -> "Value":
        values = list(values)
        spread = statistics.stdev(values) if len(values) > 1 else None
        return cls(sum(values) / len(values), spread, len(values))

    def text(self, digits: int = 3) -> str:
        """The mean ± its spread."""
        spread = "" if self.spread is None else f" ± {self.spread:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


@dataclass(frozen=True)
class Collection:
    """The records of one suite: one profile, one set of training data."""

    suite: str
    records: tuple[dict[str, Any], ...]

    @property
    def profile(self) -> str:
        return self.records[0]["profile"]

    @property
    def synthetic(self) -> bool:
        return self.records[0]["synthetic"]

    @property
    def tests(self) -> tuple[str, ...]:
        """Test sets of which there is a record, in the order of the plan."""
        first, found = (*SPLITS, "rhd", "stb", "do"), dict.fromkeys(r["config"]["test"] for r in self.records)
        return tuple(name for name in dict.fromkeys((*first, *found)) if name in found and name != "val")

    def runs(self, experiment: str, test: str) -> list[dict[str, Any]]:
        """The records of an experiment on a test set, by seed."""
        found = [r for r in self.records if (r["config"]["experiment"], r["config"]["test"]) == (experiment, test)]
        return sorted(found, key=lambda record: record["seed"])

    def by_seed(self, experiment: str, test: str, metric: str) -> dict[int, float]:
        """The numbers of a metric; a seed that does not have it is left out."""
        runs = self.runs(experiment, test)
        return {run["seed"]: m["value"] for run in runs for m in run["metrics"] if m["name"] == metric}

    def value(self, experiment: str, test: str, metric: str) -> Value | None:
        """None where nothing was measured."""
        found = self.by_seed(experiment, test, metric)
        return Value.of(found.values()) if found else None

    def errors(self, experiment: str, test: str, name: str) -> dict[int, np.ndarray]:
        """A score of every hand (sets.ERRORS), by seed; a seed of which it was not kept is left out."""
        runs = {record["seed"]: record["hands"] for record in self.runs(experiment, test)}
        return {seed: hands[name].astype(float) for seed, hands in runs.items() if name in hands}

    def effect(self, a: str, b: str, test: str, name: str = "auc") -> Effect | None:
        """a − b by the errors of hands, and how chance moves it; None of fewer than two seeds that both have."""
        differences = paired([(self.errors(a, test, name), self.errors(b, test, name))])
        return paired_bootstrap(differences) if differences and len(differences[0]) > 1 else None

    def metric(self, test: str, name: str) -> dict[str, Any] | None:
        """What a metric means: its alignment, grid and n, as one of the records has it."""
        records = (record for record in self.records if record["config"]["test"] == test)
        return next((metric for record in records for metric in record["metrics"] if metric["name"] == name), None)

    def curve(self, experiment: str, test: str, name: str) -> dict[str, list] | None:
        """A curve, its columns of numbers averaged over seeds; a row that one of them lacks is None."""
        curves = [r["curves"][name] for r in self.runs(experiment, test) if name in r["curves"]]
        if not curves:
            return None
        return {column: _mean([curve[column] for curve in curves]) for column in curves[0]}

    def curves(self, experiment: str, name: str) -> dict[str, dict[str, list]]:
        """`curve` of each test set that has it."""
        return {test: curve for test in self.tests if (curve := self.curve(experiment, test, name))}

    def wanted(self, experiment: str = "full") -> int:
        """How many seeds the suite's scale has for an experiment."""
        if EXPERIMENTS[experiment].cached:
            return self._rows.get("seeds", 0) if self._studies_evidence else 0
        return len(self.records[0]["config"]["scale"]["seeds"])

    def tests_of(self, experiment: str) -> tuple[str, ...]:
        """The test sets on which the suite measures an experiment."""
        if EXPERIMENTS[experiment].cached and PHOTOS not in self.tests:
            return tuple(self._rows.get("tests", ()))
        return tests_of(EXPERIMENTS[experiment], self.tests)

    @property
    def _studies_evidence(self) -> bool:
        """Whether the suite has a study on cached evidence, which is of rendered open hands, and of photographs."""
        rendered = self.synthetic and self.records[0]["hand"] == OPEN_HAND
        return rendered or any(EXPERIMENTS[record["config"]["experiment"]].cached for record in self.records)

    @property
    def _rows(self) -> dict[str, Any]:
        """The scale of the study on cached evidence; records older than it have none."""
        scales = (record["config"]["scale"] for record in self.records)
        return next((scale["rows"] for scale in scales if "rows" in scale), {})

    def command(self, experiment: str) -> str:
        """What makes the results of an experiment: the command of one that is there, for another."""
        return re.sub(r"--only \S+", f"--only {experiment}", self.records[0]["command"])


def paired(sides: list[tuple[dict[int, np.ndarray], dict[int, np.ndarray]]]) -> Differences:
    """Left − right of scores of hands by seed, a pair a test set: an array a test set, of the seeds that are on both
    sides of all of them. Hands that a run could not be scored on are left out. No array where no seed is left, or of
    one test set no hand."""
    seeds = set.intersection(*(set(left) & set(right) for left, right in sides)) if sides else set()
    if not seeds:
        return []
    arrays = [np.stack([left[seed] - right[seed] for seed in sorted(seeds)]) for left, right in sides]
    arrays = [array[:, np.isfinite(array).all(0)] for array in arrays]
    return arrays if all(array.size for array in arrays) else []


def read_collections(folder: str | os.PathLike[str]) -> dict[str, Collection]:
    """The suites whose results files lie in a folder, or in `reproduce-SUITE` or `SUITE/results` of it, each with at
    least one record.

    Other results files that lie there are passed over. `ValueError` for a file that is damaged or does not belong.
    """
    folder, suites = Path(folder), {}
    places = (f"{PREFIX}*.json", f"{PREFIX}*/{PREFIX}*.json", f"*/results/{PREFIX}*.json")
    for path in sorted(path for place in places for path in folder.glob(place)):
        record = results.read(path)
        if record["profile"] == "smoke":
            continue
        about = record["config"]
        if about.get("experiment") not in EXPERIMENTS or "test" not in about or "suite" not in about:
            raise ValueError(f"{path} names no experiment of this handlib: move it away")
        for part in _by_test(record, _errors_beside(path, record.get("errors"))):
            about = part["config"]
            suites.setdefault(about["suite"], {}).setdefault((about["experiment"], about["test"]), []).append(part)
    for groups in suites.values():
        for records in groups.values():
            results.check_alike(records)
    return {
        suite: Collection(suite, tuple(record for records in groups.values() for record in records))
        for suite, groups in suites.items()
    }


def _errors_beside(path: Path, digest: str | None) -> dict[str, np.ndarray]:
    """The errors of hands that a record names by their SHA-256, where their file was brought along. `ValueError` where
    it is another one."""
    file = path.with_suffix(".safetensors")
    if digest is None or not file.is_file():
        return {}
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise ValueError(f"{file}: not the errors of hands that {path.name} was written with: run it again")
    return load(content)


def _by_test(record: dict[str, Any], errors: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """A record as one a test set: one on cached evidence has several, whose names stand before its metrics'."""
    about = record["config"]
    if "tests" not in about:
        return [record | {"hands": errors}]
    parts, common = [], [m for m in record["metrics"] if "/" not in m["name"]]
    for test in about["tests"]:

        def own(named: dict[str, Any], test: str = test) -> dict[str, Any]:
            return {name.removeprefix(f"{test}/"): part for name, part in named.items() if name.startswith(f"{test}/")}

        metrics = own({m["name"]: m for m in record["metrics"]})
        parts.append(record | {
            "config": about | {"test": test},
            "hands": own(errors),
            "data": record["data"] | {"n": record["data"]["of"][test]},
            "metrics": [metric | {"name": name} for name, metric in metrics.items()] + common,
            "curves": own(record["curves"]) | {"training": record["curves"]["training"]},
        })  # fmt: skip
    return parts


def _mean(columns: list[list]) -> list:
    def mean(values: tuple) -> object:
        if not all(isinstance(value, int | float) for value in values):
            return values[0] if isinstance(values[0], str) else None
        return sum(values) / len(values)

    return [mean(values) for values in zip(*columns, strict=True)]
