import contextlib
import io

import pytest
import torch

from handlib.evaluation import results
from handlib.experiments.bench.training import TRAINING_BENCHES, bench_training, make_trainer, networks_step
from handlib.training.profiles import preset


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as said:
        patch.setattr("handlib.experiments.bench.training.CACHE", cache)
        return bench_training(TRAINING_BENCHES["smoke"], "smoke"), said.getvalue().splitlines()


def test_record_is_valid_and_says_what_was_done(record, tmp_path):
    found, said = record
    results.read(results.write(found, tmp_path))
    values = {metric["name"]: metric["value"] for metric in found["metrics"]}
    assert values["full_step_images_per_second"] > 0 and values["networks_images_per_second"] > 0
    assert 0 <= values["overhead"] < 1 and 0 < values["fraction_of_matrix_rate"] < 1
    assert found["name"] == "bench-training-smoke" and found["data"]["name"].startswith("SyntheticHands")
    assert len(said) == 7


def test_operations_are_those_of_the_networks(record):
    """Counted once more by hand: a convolution's forward pass and its two gradients, the first layer's one."""
    model = make_trainer(preset("smoke"), "cpu", "unused").model
    counts = []

    def count(module, inputs, output):
        per_pixel = 2 * module.weight.numel()
        passes = 2 if inputs[0].shape[1] == 3 else 3
        counts.append(passes * per_pixel * (output[0, 0].numel() if output.ndim == 4 else 1))

    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    hooks = [m.register_forward_hook(count) for m in model.modules() if isinstance(m, kinds)]
    images = torch.rand(2, 3, 64, 64)
    model.feature_extractor(images), model(images)
    for hook in hooks:
        hook.remove()
    (value,) = (m["value"] for m in record[0]["metrics"] if m["name"] == "networks_gflop_per_image")
    assert value * 1e9 == pytest.approx(sum(counts), rel=0.05)  # the hand's own products are in it too


def test_networks_alone_are_trained(tmp_path):
    trainer = make_trainer(preset("smoke"), "cpu", str(tmp_path))
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    networks_step(trainer)()
    after = dict(trainer.model.named_parameters())
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"feature_extractor", "pose_network", "regressor"}
