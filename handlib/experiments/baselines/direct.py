"""Direct regression: estimates h from the evidence in one step.

DHPE without iterations and without the 2D joint refiner: h = h(0) + E3D(F(x), j2D, h(0)). F, J2D, losses, lifting and
schedule are those of DHPE, so the comparison shows what the iterations contribute. There is no original method.
"""

from dataclasses import replace

from ...training.profiles import TrainConfig


def direct(config: TrainConfig) -> TrainConfig:
    """Returns the config of the same run with a single step of the iteration."""
    return replace(config, model=replace(config.model, iterations=1, pose_refiner=False))
