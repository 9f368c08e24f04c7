import pytest
import torch

from handlib import DHPE, DHPEConfig
from handlib.losses import LossWeights
from handlib.training.lifting import pretrain_regressor

CONFIG = DHPEConfig(size=32, feature_width=4, features=16, pose_width=4, hidden=32)


def model() -> DHPE:
    torch.manual_seed(0)
    return DHPE(CONFIG)


def test_loss_falls():
    losses = pretrain_regressor(model(), 60, LossWeights(), batch_size=16, progress=False)
    assert len(losses) == 60
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_only_the_regressor_is_trained():
    trained, fresh = model(), model()
    pretrain_regressor(trained, 2, LossWeights(), batch_size=4, progress=False)
    changed = {
        name.split(".")[0] for name, w in fresh.named_parameters() if not torch.equal(w, trained.state_dict()[name])
    }
    assert changed == {"regressor"}


def test_seed_decides():
    def run(seed):
        return pretrain_regressor(model(), 3, LossWeights(), batch_size=4, seed=seed, progress=False)

    assert run(1) == run(1) != run(2)


@pytest.mark.parametrize("hidden", [0, 8])
def test_any_size_of_regressor(hidden):
    from dataclasses import replace

    losses = pretrain_regressor(
        DHPE(replace(CONFIG, hidden=hidden, pose_refiner=hidden > 0)), 2, LossWeights(), batch_size=4, progress=False
    )
    assert all(torch.isfinite(torch.tensor(losses)))


def test_lifted_once_for_runs_that_differ_later(tmp_path, monkeypatch):
    """Kept by all that decides it: another seed or weight, or other random weights, are lifted anew."""
    import handlib.training.lifting as module

    count = 0
    real = module.pretrain_regressor

    def counted(*args, **kwargs):
        nonlocal count
        count += 1
        return real(*args, batch_size=4, **kwargs)

    monkeypatch.setattr(module, "pretrain_regressor", counted)

    def run(cache=tmp_path, seed=0, weights=None, start=None):
        made = start or model()
        module.lifted(made, 2, weights or LossWeights(), seed, cache, progress=False)
        return made.regressor.state_dict()

    def same(a, b):
        return all(torch.equal(a[name], b[name]) for name in a)

    first = run(cache=None)
    assert count == 1 and not list(tmp_path.iterdir())
    assert same(run(), first) and count == 2
    assert same(run(weights=LossWeights(shape=0.0)), first) and count == 2  # no part of lifting
    assert not same(run(seed=1), first) and count == 3
    assert not same(run(weights=LossWeights(refiner=9.0)), first) and count == 4
    torch.manual_seed(1)
    assert not same(run(start=DHPE(CONFIG)), first) and count == 5


def test_a_damaged_regressor_is_lifted_again(tmp_path):
    from handlib.training.lifting import lifted

    def run():
        made = model()
        lifted(made, 1, LossWeights(), cache=tmp_path, progress=False)
        return made.regressor.state_dict()

    first = run()
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"cut")
    assert all(torch.equal(value, first[name]) for name, value in run().items())
    assert path.stat().st_size > 100


@pytest.mark.parametrize("steps", [1, 8, 9, 10, 11])
def test_any_number_of_steps(steps):
    assert len(pretrain_regressor(model(), steps, LossWeights(), batch_size=2, progress=False)) == steps
