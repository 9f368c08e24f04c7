"""Direct regression: h from the evidence in one step.

DHPE without iterations and without the 2D pose refiner: h = h(0) + E3D(F(x), j2D, h(0)). F, J2D, losses, lifting and
schedule are DHPE's own, so it shows what the iterations are worth. Nothing differs from an original: there is none.
"""

import os
from dataclasses import replace

from ...training.train import TrainConfig, train
from .interface import DEFAULTS, DHPEMethod, FitOptions


def direct(config: TrainConfig) -> TrainConfig:
    """The same run with one step in place of several."""
    return replace(config, model=replace(config.model, iterations=1, pose_refiner=False))


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> DHPEMethod:
    """Trains it by `handlib.training.train`; the options' data, detector and device play no part."""
    return DHPEMethod(train(direct(config), out, options.resume, options.cache, options.progress))
