"""The runs that some tables need: what each makes, and which others it waits for. The order is Snakemake's business.

OUT/SUITE/suite.json              what the suite is: a folder holds one
OUT/SUITE/photographs.json        SHA-256 of what describes the photographs that are measured on, if any are
OUT/SUITE/rates/NAME.json         how the learning rate of a training was chosen
OUT/SUITE/rows/NAME.safetensors   evidence of rendered hands or photographs, cached once (rows.py)
OUT/SUITE/runs/NAME/              what a training keeps to go on
OUT/SUITE/results/*.json          one results file for each experiment, test set and seed, on cached evidence for
                                  each experiment and seed; *.safetensors beside it has the errors of every hand
OUT/SUITE/tables, figures         made from these
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ...data import PhotoFolder, open_spec
from ...networks.checkpoint import checkpoint_path
from ...networks.published import DIGESTS
from ...support.files import sha256, write_json
from ...support.json_text import read_json
from ...training.checkpoint import MACHINE
from .equipment import Equipment, pathless_backgrounds, pathless_model
from .experiments import NETWORKS, Experiment, chosen, tests_of
from .hands import Hands, kind_of, parse_data, pathless
from .rows import VARIANTS
from .scales import SCALES, Scale
from .sets import PHOTOS, PREFIX

NOTHING = Equipment()
TUNED = ("direct", "kanazawa", *NETWORKS)  # trainings with a learning rate of their own; the others take "full"'s


class Run(NamedTuple):
    """One process: a training and all that is measured of it, or what several trainings need."""

    name: str
    makes: tuple[Path, ...]
    needs: tuple[str, ...] = ()  # names of other runs
    training: str = ""
    seed: int = 0
    experiments: tuple[Experiment, ...] = ()


@dataclass(frozen=True)
class Suite:
    """out: folder of the suite. equipment: of the scale's runs, which have it already. photographs: a folder of them
    with their joints (`PhotoFolder`), on which what learned from cached evidence is measured, too; or nothing. seeds:
    of every training, for more or fewer than the scale has; 0 for the scale's."""

    table: str
    profile: str
    scale: Scale
    hands: Hands
    out: Path
    only: tuple[str, ...] = ()
    equipment: Equipment = NOTHING
    photographs: str = ""
    seeds: int = 0

    @property
    def name(self) -> str:
        return self.profile + self.hands.suffix

    @property
    def results(self) -> Path:
        return self.out / "results"

    @cached_property
    def described(self) -> dict[str, Any]:
        """The scale as records have it: no paths, nothing that changes no result."""
        fields = json.loads(json.dumps(asdict(self.scale)))
        return fields | {run: described_run(fields[run]) for run in ("train", "schedule")}

    @cached_property
    def files(self) -> dict[str, str]:
        """SHA-256 of every file that trainings start from, and of the network whose evidence is cached."""
        run = self.scale.train
        named = {
            "init_pose": run.init_pose and checkpoint_path(run.init_pose),
            "posenet": run.model.posenet,
            "hand": run.model.hand if run.model.hand != "openhand" else "",
        }
        files = {name: sha256(path) for name, path in named.items() if path and Path(path).is_file()}
        cached = self.scale.rows.seeds and not self.hands.specs  # with whichever hand, as older folders say
        return files | ({"landmarks": DIGESTS["hand_landmarks"]} if cached else {})

    def claim_folder(self, keep: bool = True) -> None:
        """Writes what the suite is into its folder. keep: False to look only. `ValueError` where that holds another."""
        own = {"scale": self.described, "files": self.files}
        self._claim("suite.json", own, "another scale, or of other options or files", keep)
        photos = [spec for spec in self.hands.specs if kind_of(spec) == PHOTOS]
        photos += [f"{PHOTOS}:{self.photographs}"] if self.photographs and self.studies_evidence else []
        if photos:
            self._claim("photographs.json", sha256(open_spec(photos[0]).path), "other photographs", keep)

    def _claim(self, name: str, own: Any, other: str, keep: bool) -> None:
        path, mend = self.out / name, "choose another --out"
        if not path.is_file():
            if keep:
                write_json(path, own)
        elif read_json(path, mend) != own:
            raise ValueError(f"{path} is of {other}: {mend}")

    def check_files(self) -> None:
        """Opens whatever was named: the last of it is else needed when hours have passed."""
        self.equipment.check()
        for spec in self.hands.specs:
            open_spec(spec, "test", self.scale.train.model.size)
        if self.photographs:
            PhotoFolder(self.photographs)

    def record(self, experiment: str, test: str, seed: int) -> Path:
        """The results file of an experiment; test "" where one file has all test sets of it."""
        suite = f"{self.name}-{PHOTOS}" if test == PHOTOS and not self.hands.specs else self.name
        part = "" if test in ("", PHOTOS) and not self.hands.specs else f"-{test}"
        return self.results / f"{PREFIX}{suite}-{experiment}{part}-seed{seed}.json"

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """All that are needed, each after those that it waits for; seeds one after the other, so that what is
        interrupted has whole tables of fewer seeds."""
        by_training: dict[str, list[Experiment]] = {}
        for experiment in chosen(self.table, self.only):
            by_training.setdefault(experiment.training, []).append(experiment)
        pixels = [t for t in by_training if t not in VARIANTS and self.scale.seeds]
        cached = [t for t in by_training if t in VARIANTS and self.studies_evidence]
        runs = [self._rate(name) for name in dict.fromkeys(map(rated_as, pixels)) if name and self.tunes]
        for seed in range(self.seeds) or self.scale.seeds:
            runs += [self._pixels(t, seed, tuple(by_training[t])) for t in pixels]
        if cached:
            runs += self._evidence(cached)
            for seed in range(self.seeds or self.scale.rows.seeds):
                runs += [self._cached(t, seed, tuple(by_training[t])) for t in cached]
        return tuple({run.name: run for run in runs}.values())

    @property
    def studies_evidence(self) -> bool:
        """Whether there is a study on cached evidence, which is of rendered open hands."""
        other = {"hand", "fingertips"} & self.equipment.chosen.keys()
        return bool(self.scale.rows.seeds) and not self.hands.specs and not other

    @property
    def tunes(self) -> bool:
        return len(self.scale.rate_factors) > 1

    def run(self, name: str) -> Run:
        """`ValueError` for a name that is none."""
        for run in self.runs:
            if run.name == name:
                return run
        raise ValueError(f"'{name}' is no run of this suite: choose one of {', '.join(run.name for run in self.runs)}")

    def _file(self, name: str, path: str, needs: tuple[str, ...] = ()) -> Run:
        return Run(name, (self.out / path,), needs)

    def _rate(self, training: str, needs: tuple[str, ...] = ()) -> Run:
        return self._file(f"rate-{training}", f"rates/{training}.json", needs)._replace(training=training)

    def _pixels(self, training: str, seed: int, experiments: tuple[Experiment, ...]) -> Run:
        rated = rated_as(training)
        makes = tuple(self.record(e.name, t, seed) for e in experiments for t in tests_of(e, self.hands.tests))
        needs = (f"rate-{rated}",) if rated and self.tunes else ()
        return Run(f"{training}-seed{seed}", makes, needs, training, seed, experiments)

    def _evidence(self, cached: list[str]) -> list[Run]:
        """The rows, and the learning rates of trainings from each kind of start."""
        runs = [self._file("rows-train", "rows/train.safetensors")]
        for name in ("val", *self.scale.rows.tests, *([PHOTOS] if self.photographs else [])):
            runs.append(self._file(f"rows-{name}", f"rows/{name}.safetensors", ("rows-train",)))
        rated = list(dict.fromkeys(VARIANTS[t].rated_as for t in cached))
        for start in dict.fromkeys(VARIANTS[t].start for t in (*rated, *cached)):
            if start:
                runs.append(self._file(start, f"runs/{start}.safetensors", ("rows-train",)))
        for like in rated:
            start = VARIANTS[like].start
            needs = ("rows-train", "rows-val", *([start] if start else []))
            runs.append(self._rate(like, needs))
        return runs

    def _cached(self, training: str, seed: int, experiments: tuple[Experiment, ...]) -> Run:
        variant, photos = VARIANTS[training], (PHOTOS,) if self.photographs else ()
        start, tests = variant.start, (*self.scale.rows.tests, *photos)
        needs = [f"rate-{variant.rated_as}", "rows-train", *(f"rows-{test}" for test in tests)]
        makes = tuple(self.record(e.name, test, seed) for e in experiments for test in ("", *photos))
        needs += [start] if start else []
        return Run(f"{training}-seed{seed}", makes, tuple(needs), training, seed, experiments)


def make_suite(
    table: str,
    profile: str,
    hands: Hands,
    out: str | os.PathLike[str],
    only: tuple[str, ...] = (),
    equipment: Equipment = NOTHING,
    photographs: str = "",
    seeds: int = 0,
) -> Suite:
    """The runs of a table, or of "all". only: names of experiments. equipment: of every training."""
    if profile not in SCALES:
        raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(SCALES)}")
    chosen(table, only)
    scale = SCALES[profile]
    train, schedule = (equipment.equipped(hands.config(run)) for run in (scale.train, scale.schedule))
    scale = replace(scale, train=train, schedule=schedule)
    folder = Path(out) / (profile + hands.suffix)
    return Suite(table, profile, scale, hands, folder, tuple(only), equipment, photographs, seeds)


def rated_as(training: str) -> str | None:
    """The training whose learning rate another one takes: an ablation the full method's; the study of Eq. 12 none."""
    if training == "schedule":
        return None
    return training if training in TUNED else "full"


def described_run(fields: dict[str, Any]) -> dict[str, Any]:
    """A training config, as a dict, without paths and without what changes no result."""
    kept = {name: value for name, value in json.loads(json.dumps(fields)).items() if name not in MACHINE}
    sets = {name: pathless(kept[name]) for name in ("data", "val_data")}
    backgrounds, model = pathless_backgrounds(kept["backgrounds"]), pathless_model(kept["model"])
    return kept | sets | {"backgrounds": backgrounds, "model": model}


def suite_of(options: dict[str, Any]) -> Suite:
    """From the options of `handlib reproduce`, as they stand in its file."""
    given = {name: options[name] for name in ("posenet", "hand", "fingertips", "backgrounds")}
    return make_suite(
        options["table"], options["profile"], parse_data(options["data"]), options["out"], tuple(options["only"]),
        Equipment(**given), options["photographs"], options["seeds"],
    )  # fmt: skip
