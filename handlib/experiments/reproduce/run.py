"""Does one run of a suite, in this process. Interrupted, it goes on where it stopped: from what its training keeps."""

import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from ...evaluation import evaluate, results
from ...evaluation.protocols import OWN_PROTOCOLS
from ...refinement import RefinementWeights
from ...support.files import write_json
from ...training.checkpoint import read_log
from ...training.profiles import TrainConfig
from ...training.train import train
from ..ablate import schedule_study
from ..ablation import ABLATIONS
from ..baselines import BASELINES, DHPEMethod, FitOptions, Method, best_learning_rate, predictions, with_rates_times
from .evidence import make_photo_rows, make_test_rows, make_training_rows
from .experiments import FITTED, Experiment, tests_of
from .measure import errors_of
from .records import about, command_of, hand_of, read_rate, write_measured
from .rows import VARIANTS, lift
from .rows_run import RowRunner
from .sets import DESCENT, PHOTOS
from .suite import Run, Suite, described_run, rated_as


class Runner:
    """cache: folder of rendered hands."""

    def __init__(self, suite: Suite, cache: Path | None = None, progress: bool = True):
        self.suite, self.cache, self.progress = suite, cache, progress
        gpu = suite.scale.train.device == "auto" and torch.cuda.is_available()
        self.device = "cuda" if gpu else "cpu"

    def __call__(self, name: str) -> None:
        """`FloatingPointError` for a training that diverges."""
        run, rows = self.suite.run(name), self.suite.out / "rows"
        kind, _, what = name.partition("-")
        scale = self.suite.scale.rows
        if name == "rows-train":
            make_training_rows(rows, scale.rows, scale.gate, scale.principal, self.progress)
        elif name == f"rows-{PHOTOS}":
            make_photo_rows(rows, self.suite.photographs, run.makes[0])
        elif kind == "rows" and not run.training:
            make_test_rows(rows, what, scale.val if what == "val" else scale.test, self.progress)
        elif kind == "lifted":
            lift(name, scale, rows, run.makes[0], self.progress)
        elif run.training in VARIANTS:
            runner = RowRunner(self.suite, run)
            runner.choose_rate() if kind == "rate" else runner()
        elif kind == "rate":
            self._choose_rate(run)
        elif run.training == "schedule":
            self._schedule(run)
        else:
            self._pixels(run)

    # ---- what is trained from pictures

    def _pixels(self, run: Run) -> None:
        config = replace(self._config(run.training), seed=run.seed)
        folder = self.suite.out / "runs" / run.name
        method = self._trained(run.training, config, folder)
        for experiment in run.experiments:
            for test in tests_of(experiment, self.suite.hands.tests):
                if not self.suite.record(experiment.name, test, run.seed).is_file():
                    self._measure(run, experiment, test, config, method)

    def _config(self, training: str) -> TrainConfig:
        """The run of a training, at the learning rate that was chosen for it."""
        config = self.suite.scale.run(training)
        if training in ABLATIONS:
            parts = ABLATIONS[training]
            config = replace(config, model=parts.of_model(config.model), loss=parts.of_loss(config.loss))
            if not parts.augmentation:
                config = replace(config, augment_from=None)
        factor = 1.0
        if self.suite.tunes:
            factor = read_rate(self.suite.run(f"rate-{rated_as(training)}").makes[0], "factor")
        return with_rates_times(config, factor)

    def _trained(self, training: str, config: TrainConfig, folder: Path) -> Method:
        if training in ABLATIONS:
            return DHPEMethod(train(config, folder, cache=self.cache, progress=self.progress))
        options = FitOptions(cache=self.cache, progress=self.progress, device=self.device)
        return BASELINES[training].fit(config, folder, options)

    def _choose_rate(self, run: Run) -> None:
        """The factor whose shorter run ends best on the validation hands."""
        scale, training = self.suite.scale, run.training
        config, path = self.suite.hands.tuning(scale.rate_run(training)), run.makes[0]
        fit = partial(self._trained, training)
        best = best_learning_rate(fit, config, path.with_suffix(""), scale.rate_factors)
        write_json(path, {"factor": best.learning_rate / config.learning_rate, "tried": scale.rate_factors})

    def _measure(self, run: Run, experiment: Experiment, test: str, config: TrainConfig, method: Method) -> None:
        started, scale = time.perf_counter(), self.suite.scale
        data = self.suite.hands.test(test, scale.train, scale.test_images, self.cache, self.progress)
        data = data.each(lambda value: value.to(self.device))
        iterations = scale.iterations if experiment.refined else 0
        folder = self.suite.out / "runs" / run.name
        if experiment.name in FITTED:
            options = FitOptions(detector=method.model, progress=self.progress, device=self.device)
            method = BASELINES[experiment.name].fit(config, folder, options)
        if isinstance(method, DHPEMethod):
            samples = evaluate.predictions(method.model, data, iterations, progress=self.progress, method=DESCENT)
        else:
            samples = predictions(method, data, progress=self.progress, device=self.device)
        metrics, curves = evaluate.measurements(samples, len(data), OWN_PROTOCOLS.get(test, ()), palm=data.palm)
        log = read_log(folder)
        trained = log[-1]["minutes"] if log else 0.0  # which several experiments may share
        baseline = BASELINES.get(run.training)
        used = baseline.used(config) if baseline else config  # not what it was given, but what it made of that
        refinement = {"method": DESCENT, **asdict(RefinementWeights())} if iterations else {}
        settings = {"train": described_run(asdict(used)), "refine": {"iterations": iterations, **refinement}}
        write_measured(
            self.suite, experiment, test, run.seed, f"{experiment.title}: accuracy on {data.name}", metrics, curves,
            errors_of(samples, test), trained, settings, {"name": data.name, "n": len(data)}, started,
            not self.suite.hands.specs, self.device,
        )  # fmt: skip

    def _schedule(self, run: Run) -> None:
        """The study of Eq. 12, under this reproduction's name."""
        config, (experiment,) = replace(self.suite.scale.schedule, seed=run.seed), run.experiments
        folder, command = self.suite.out / "runs" / run.name, command_of(self.suite, experiment)
        record = schedule_study(config, folder, command, True, self.cache, print, self.progress)
        named = {"name": run.makes[0].stem, "profile": self.suite.profile, "hand": hand_of(self.suite)}
        settings = about(self.suite, experiment, "val") | {"train": described_run(asdict(config))}
        results.write(record | named | {"config": settings}, run.makes[0].parent)
