"""One run of the study on cached evidence: trains a variant and writes its results files."""

import time
from dataclasses import asdict, replace

from ...evaluation import results
from ...evaluation.evaluate import measurements, scores
from ...support.files import write_json
from ..baselines.training import errors_of_each
from .experiments import Experiment
from .measure import errors_of
from .records import read_rate, write_measured
from .rows import REFINEMENT, VARIANTS, Rows, described, fit, samples_of
from .sets import DESCENT, PHOTOS
from .suite import Run, Suite

CURVES = ("pck_root", "refinement")


class RowRunner:
    def __init__(self, suite: Suite, run: Run):
        self.suite, self.run, self.scale = suite, run, suite.scale.rows
        self.variant = VARIANTS[run.training]
        start = self.variant.start
        self.start = suite.out / "runs" / f"{start}.safetensors" if start else None

    def __call__(self) -> None:
        started = time.perf_counter()
        rate = read_rate(self.suite.out / "rates" / f"{self.variant.rated_as}.json", "rate")
        model, curve = fit(self.variant, self.scale, self._rows("train"), self.start, rate, self.run.seed)
        trained = (time.perf_counter() - started) / 60
        for experiment in self.run.experiments:
            self._write(experiment, self.scale.tests, model, rate, curve, trained)
            if self.suite.photographs:
                self._write(experiment, (PHOTOS,), model, rate, curve, trained)

    def choose_rate(self) -> None:
        """Of full-length runs the rate that ends with the least mean error on the validation hands."""
        if len(self.scale.rates) == 1:
            write_json(self.run.makes[0], {"rate": self.scale.rates[0]})
            return

        def error_of(rate: float) -> float:
            model, _ = fit(self.variant, self.scale, self._rows("train"), self.start, rate, 0)
            return scores(samples_of(model, self.variant, self._rows("val"), "val"))["joints_root_mean_mm"]

        tried = errors_of_each(self.scale.rates, error_of)
        best = min(tried, key=tried.__getitem__)
        inside = min(self.scale.rates) < best < max(self.scale.rates)
        mean_mm = {str(rate): error for rate, error in tried.items()}
        write_json(self.run.makes[0], {"rate": best, "val_mean_mm": mean_mm, "inside": inside})

    def _rows(self, name: str) -> Rows:
        return Rows.load(self.suite.out / "rows" / f"{name}.safetensors")

    def _write(
        self, experiment: Experiment, tests: tuple[str, ...], model, rate: float, curve: dict, trained: float
    ) -> None:
        """One results file: every metric, curve and error with the name of its test set before it."""
        started, photos = time.perf_counter(), tests == (PHOTOS,)
        metrics, curves, errors, count = [], {"training": curve}, {}, {}
        iterations = self.scale.iterations if experiment.refined else 0
        for test in tests:
            rows = self._rows(test)
            samples = samples_of(model, self.variant, rows, test, iterations, self.run.seed)
            some, drawn = measurements(samples, len(rows.points), meshes=False)
            metrics += [replace(metric, name=f"{test}/{metric.name}") for metric in some]
            curves |= {f"{test}/{name}": drawn[name] for name in CURVES if name in drawn}
            errors |= {f"{test}/{name}": value for name, value in errors_of(samples).items()}
            count[test] = len(rows.points)
        if curve["step"]:
            under = curve["under_threshold"][-1]
            metrics.append(results.Metric("under_threshold", under, "fraction", n=self.scale.draw))
        settings = {
            "tests": list(tests),
            "variant": described(self.variant),
            "rate": rate,
            "refine": {"iterations": iterations, **({"method": DESCENT, **asdict(REFINEMENT)} if iterations else {})},
        }
        write_measured(
            self.suite, experiment, PHOTOS if photos else "", self.run.seed,
            f"{experiment.title}: accuracy on cached evidence of {', '.join(tests)}", metrics, curves, errors, trained,
            settings, {"name": "cached evidence", "n": sum(count.values()), "of": count}, started, not photos,
        )  # fmt: skip
