from dataclasses import asdict, replace

import pytest
import torch
from tune_refinement import SWEEPS, significantly_lower, tune_refinement

from handlib.evaluation import results
from handlib.refinement import RefinementWeights


@pytest.fixture(scope="module")
def record(trained):
    config = replace(SWEEPS["smoke"], checkpoint=str(trained.checkpoint))
    return tune_refinement(config, "smoke", "a command", say=lambda _: None, cache=str(trained.cache))


def test_the_record_is_complete(record, tmp_path):
    path = results.write(record, tmp_path)
    assert results.read(path)["name"] == "refinement-tuning-smoke"  # a smoke run takes no result's place
    RefinementWeights(**record["config"]["chosen"])
    assert results.value(record, "chosen_joints_root_mean_end_mm") > 0
    for name in ("stay=0.1", "stay=0.3", "feature=0", "feature=0.1"):
        assert results.value(record, f"{name}_joints_root_mean_start_mm") > 0
    for curve in (record["curves"]["chosen"], record["curves"]["chosen_gradient"]):
        assert len(curve["iteration"]) == len(curve["joints_root_mean_mm"]) == 3


def test_what_is_chosen_was_tried(record):
    chosen, start = record["config"]["chosen"], asdict(SWEEPS["smoke"].start)
    for name, value in chosen.items():
        tried = record["config"]["tune"].get(name, ())
        assert value in (*tried, start[name], 0.0), name


def test_a_fall_must_stand_out_of_its_noise(generator):
    before = 20 + 5 * torch.randn(100, generator=generator)
    noise = torch.randn(100, generator=generator)
    assert significantly_lower(before - 1 + noise, before)
    assert not significantly_lower(before - 0.01 + noise, before)
    assert not significantly_lower(before + 1, before) and not significantly_lower(before, before)
    assert not significantly_lower(before[:1] - 1, before[:1])
