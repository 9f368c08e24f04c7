from dataclasses import replace

import torch
from trainers import SMALL, trainer_of


def test_average_is_that_of_the_weights(feed, tmp_path):
    trainer = trainer_of(replace(SMALL, average=0.5), tmp_path)
    name = "regressor.estimate.0.weight"
    expected = trainer.model.state_dict()[name].clone()
    for step, keep in enumerate((2 / 11, 3 / 12)):
        batch = next(feed(trainer.pool).batches([torch.arange(4)]))
        trainer.step = step
        trainer.train_step(batch, 4, 1e-3, 4)
        expected = keep * expected + (1 - keep) * trainer.model.state_dict()[name]
    assert torch.allclose(trainer.average.weights[name], expected, atol=1e-6)
    now = trainer.model.state_dict()[name].clone()
    with trainer.average.applied():
        assert torch.allclose(trainer.model.state_dict()[name], expected, atol=1e-6)
    assert torch.equal(trainer.model.state_dict()[name], now)
