"""Trains E3D and Ref alone, on what was drawn or cached: a step takes milliseconds, since no image is looked at."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..regressor import Regressor
from ..support.digests import load_state, save_state

KEEP_EVERY = 1000  # steps between states
STATE = {"net": dict, "optimizer": dict, "rates": dict, "step": int}
MEND = "delete it, or choose another folder"


def train_regressor(
    net: Regressor,
    loss_of: Callable[[int], Tensor],
    steps: int,
    rate: float,
    decay: float = 0.0,
    state: Path | None = None,
    name: str = "training",
    progress: bool = False,
) -> list[float]:
    """Takes steps of AdamW in one cycle of the rate; returns the loss of each.

    loss_of: the loss of a step, by its number. state: the file that keeps what is needed to go on, and is gone on from.
    Raises `FloatingPointError` for a loss that is no number.
    """
    optimizer = torch.optim.AdamW(net.parameters(), rate, weight_decay=decay)
    rise = 0.1 if steps != 9 else 0.11  # of ten rates, torch would divide by a tenth less one
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=rise)
    parts, first, losses = {"net": net, "optimizer": optimizer, "rates": rates}, 0, []
    if state is not None and state.is_file():
        kept = load_state(state, STATE, MEND)
        for part, value in parts.items():
            value.load_state_dict(kept[part])
        first = kept["step"]
    bar = tqdm(range(first, steps), name, initial=first, total=steps, unit="step", disable=not progress, leave=False)
    for step in bar:
        loss = loss_of(step)
        losses.append(loss.item())
        if not loss.isfinite():
            raise FloatingPointError(f"the loss became {losses[-1]} at step {step}: a rate of {rate:g} is too high")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rates.step()
        bar.set_postfix(loss=f"{losses[-1]:.4f}")
        if state is not None and ((step + 1) % KEEP_EVERY == 0 or step + 1 == steps):
            save_state(state, {part: value.state_dict() for part, value in parts.items()} | {"step": step + 1})
    return losses


def ignore_features(net: Regressor, count: int) -> None:
    """Zeroes the weights on the `count` features, so that F, once it comes, at first changes nothing."""
    for module, first in ((net.estimate, 0), (net.refiner, 63)):
        layer = module if isinstance(module, nn.Linear) else module[0]
        with torch.no_grad():
            layer.weight[:, first : first + count] = 0
