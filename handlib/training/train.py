"""Joint training of evidence and regressor (Sec. 3.3): a run, from its folder to the model that it ends with.

The loop is `Trainer` (trainer.py), what it is fed with feed.py, the folder checkpoint.py, several devices processes.py.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, replace

import torch

from ..data import CachedHands
from ..dhpe import DHPE
from ..evaluation.evaluate import evaluate
from ..hand import HandModel
from ..support.locks import Busy, alone_in
from .checkpoint import RunFolder, read_log
from .feed import Feed, Pool, evenly, in_memory, open_data
from .first_weights import first_weights, warm_start
from .processes import Processes
from .profiles import PROFILES, TrainConfig, preset
from .trainer import Trainer, color_noise, jitter_colors, schedule

__all__ = [
    "PROFILES",
    "TrainConfig",
    "color_noise",
    "jitter_colors",
    "preset",
    "read_log",
    "schedule",
    "train",
    "warm_start",
]


def train(
    config: TrainConfig,
    out: str | os.PathLike[str],
    resume: bool = True,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
    each_epoch: Callable[[], object] | None = None,
) -> DHPE:
    """Trains a DHPE and returns it in evaluation mode.

    out: the run's folder. resume: go on where an interrupted run of the same config stopped; a finished run is loaded.
    cache: folder that keeps the rendered hands for other runs. each_epoch: called after every epoch, to look at the
    log for example (`curves.live_curve`).

    In a script of your own, call it under `if __name__ == "__main__":` where `workers` is not 0: they may import it.

    `ValueError` for a config that cannot be, or a folder that cannot be used. `FloatingPointError` when the loss is no
    longer a number; the batch at which that happened is kept in the folder.
    """
    config.check()
    processes = Processes(config.device, config.precision)
    try:
        with alone_in(out, ".training") if processes.is_main else nullcontext():
            return _train(config, processes, RunFolder(out), resume, cache, progress and processes.is_main, each_epoch)
    except Busy:
        raise ValueError(f"another process is training in {out}: wait for it, or choose another folder") from None


def _train(
    config: TrainConfig,
    processes: Processes,
    folder: RunFolder,
    resume: bool,
    cache: str | os.PathLike[str] | None,
    progress: bool,
    each_epoch: Callable[[], object] | None,
) -> DHPE:
    with processes.main_first():
        described = json.loads(json.dumps(asdict(config)))
        state = folder.open(described, resume) if processes.is_main else folder.state()
    clock = time.perf_counter()
    torch.manual_seed(config.seed)
    model = DHPE(config.model)
    notes = {}
    if processes.is_main:  # the other processes are given the main one's
        notes = first_weights(model, config if state is None else replace(config, lifting_steps=0), cache, progress)
    trainer = Trainer(model, config, processes, folder, notes)
    if state is None:
        trainer.seconds = time.perf_counter() - clock
        trainer.save()
    else:
        trainer.restore(state)
    if trainer.epoch < config.epochs:
        feed, val = _open(config, trainer.pool, processes, cache, progress)
        while trainer.epoch < config.epochs:
            _one_epoch(trainer, feed, val, progress)
            if each_epoch is not None and processes.is_main:
                each_epoch()
    trainer.use_average()
    if processes.is_main and not (folder.path / "model.safetensors").is_file():
        trainer.save_model()  # the run was stopped after it had written the state of its last epoch
    processes.wait()
    return model.eval()


def _one_epoch(trainer: Trainer, feed: Feed, val: CachedHands, progress: bool) -> None:
    """Trains, measures and saves; the state comes last, since a row and a model without their state are made again."""
    row = trainer.run_epoch(feed, progress)
    if trainer.processes.is_main:
        with trainer.averaged(), trainer.processes.autocast():
            scores = evaluate(trainer.model, val, progress=False)
            trainer.folder.log(row | {f"val_{name}": score for name, score in scores.items()})
            trainer.save_model()
            trainer.save()
    trainer.processes.wait()


def _open(
    config: TrainConfig, pool: Pool, processes: Processes, cache: str | os.PathLike[str] | None, progress: bool
) -> tuple[Feed, CachedHands]:
    """The training set, and the validation set in the memory of the device."""
    size, hand = config.model.size, HandModel.load(config.model.hand, config.model.fingertips)
    with processes.main_first():  # the others then read from the cache what it has rendered
        data = open_data(config.data, "train", size, hand, config.images, config.data_seed, config.backgrounds,
                         config.crop_jitter)  # fmt: skip
        feed = Feed(data, config.feed, pool, processes.device, config.workers, cache, progress)
        val = [evenly(dataset, config.val_images) for dataset in open_data(config.val_data, "val", size, hand,
               config.val_images)]  # fmt: skip
        held = in_memory(val, config.workers, cache, progress)
    if len(feed) < 2:
        raise ValueError(f"the training set, {' + '.join(config.data)}, has fewer than two images")
    return feed, held.each(lambda value: value.to(processes.device))
