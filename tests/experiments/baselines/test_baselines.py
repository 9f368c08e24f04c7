"""Every baseline by the one call that the tables make."""

import math
from dataclasses import replace

import pytest
import torch

from handlib.experiments.baselines import BASELINES, FitOptions, measure, view_of
from handlib.training.train import preset


@pytest.mark.parametrize("name", [name for name, b in BASELINES.items() if not b.trained])
def test_model_fitting_needs_a_detector(name, tmp_path):
    with pytest.raises(ValueError, match="pass FitOptions"):
        BASELINES[name].fit(preset("smoke"), tmp_path)


@pytest.mark.parametrize("name", BASELINES)
def test_each_is_fitted_and_measured_by_the_same_calls(name, trained, two, detector, tmp_path):
    """It answers what it promises, and evaluation finds exactly these scores."""
    baseline = BASELINES[name]
    config = preset("smoke", epochs=1, images=8, val_images=4, lifting_steps=2)
    options = FitOptions(cache=trained.cache, detector=detector, progress=False)
    method = baseline.fit(config, tmp_path, options)
    if name == "pso":
        method.config = replace(method.config, particles=16, generations=2)
    if name == "panteleris":
        method.starts, method.iterations = 2, 2
    answer = method.predict(view_of(two.batch(torch.arange(2))))
    assert {field for field, value in answer._asdict().items() if value is not None} == set(baseline.gives)
    scores = measure(method, two, progress=False)
    assert all(math.isfinite(value) for value in scores.values())
    assert ("joints_root_mean_mm" in scores) == ("joints_cam" in baseline.gives)
    assert ("vertices_procrustes_mean_mm" in scores) == ("vertices_cam" in baseline.gives)
    assert ("mean_iou" in scores) == ("mask" in baseline.gives)
    assert bool(list(tmp_path.iterdir())) == baseline.trained


def test_what_each_makes_of_a_config():
    """For records: what a baseline leaves out of the run that it is given is not said to be in it."""
    config = preset("laptop", init_pose="lite", average=0.9, augment_from=3)
    used = {name: baseline.used(config) for name, baseline in BASELINES.items()}
    assert used["direct"].model.iterations == 1 and not used["direct"].model.pose_refiner
    assert used["kanazawa"].lifting_steps == 0 and not used["kanazawa"].model.evidence_2d
    assert used["kanazawa"].loss.heatmap == 0
    for name in ("zimmermann", "handsegnet", "encoder-decoder"):
        assert used[name].lifting_steps == used[name].average == 0 and used[name].augment_from is None
    assert used["zimmermann"].init_pose == "lite" and used["handsegnet"].init_pose == ""
    assert used["pso"] == config
