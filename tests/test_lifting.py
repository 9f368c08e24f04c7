import pytest
import torch

from handlib import DHPE, DHPEConfig
from handlib.lifting import pretrain_regressor
from handlib.losses import LossWeights

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
