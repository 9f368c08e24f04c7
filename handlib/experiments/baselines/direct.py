"""Direct regression: estimates h from the evidence in one step.

DHPE without iterations and without the 2D joint refiner: h = h(0) + E3D(F(x), j2D, h(0)). F, J2D, losses, lifting and
schedule are those of DHPE, so the comparison shows what the iterations contribute. There is no original method.
"""

import os
from dataclasses import replace

from ...training.train import TrainConfig, train
from .interface import DEFAULTS, DHPEMethod, FitOptions


def direct(config: TrainConfig) -> TrainConfig:
    """Returns the config of the same run with a single step of the iteration."""
    return replace(config, model=replace(config.model, iterations=1, pose_refiner=False))


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> DHPEMethod:
    """Trains by `handlib.training.train`; ignores the data, detector and device of the options."""
    return DHPEMethod(train(direct(config), out, options.resume, options.cache, options.progress))
