"""A trainer of the smoke profile's size, and what stands for augmentation in its tests."""

import torch

from handlib import DHPE
from handlib.training.checkpoint import RunFolder
from handlib.training.processes import Processes
from handlib.training.profiles import preset
from handlib.training.train import DHPEObjective, Trainer

SMALL = preset("smoke", images=10, val_images=2, batch_size=4, epochs=2)  # batches of 4, 4 and 2


def trainer_of(config, folder) -> Trainer:
    torch.manual_seed(config.seed)
    return Trainer(DHPE(config.model), DHPEObjective(config), config, Processes("cpu"), RunFolder(folder))


def recolored(model, output, images, batch, generator, backgrounds=None):
    """Stands for augmentation: three negatives of every seed, of a random brightness."""
    assert len(output.h) == len(images) and not output.h.requires_grad
    gain = torch.rand(3 * len(images), 1, 1, 1, generator=generator)
    rows = {name: value.repeat_interleave(3, 0) for name, value in batch.items()}
    return rows | {"image": (1 - images.repeat_interleave(3, 0)) * gain}
