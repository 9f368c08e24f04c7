from dataclasses import replace

from handlib.experiments.baselines.direct import direct
from handlib.training.train import preset


def test_direct_differs_from_dhpe_by_its_steps_alone():
    config = preset("laptop")
    changed = direct(config)
    assert (changed.model.iterations, changed.model.pose_refiner) == (1, False)
    assert replace(changed, model=replace(changed.model, iterations=3, pose_refiner=True)) == config
