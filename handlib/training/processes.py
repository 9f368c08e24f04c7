"""Runs training steps on one or several devices, as `torchrun` starts their processes.

Every process holds the whole model and its part of each batch (`Processes.share`). The loss of a part is weighted by
its number of images, and gradients are summed over the processes (`reduce_gradients`). On GPUs, batch normalization
uses the mean and variance of the whole batch (torch's SyncBatchNorm), so the result does not depend on the number of
processes except for rounding. On CPUs torch has no such layer: each process normalizes its own part of a batch, and the
main process saves its running statistics.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

Precision = Literal["no", "bf16", "fp16"]
HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Processes:
    """This process, its device, and its communication with the others.

    device: "cpu", or else the GPU of this process if there is one. precision: of the convolutional networks.
    """

    def __init__(self, device: str = "auto", precision: Precision = "no"):
        gpu = device != "cpu" and torch.cuda.is_available()
        if precision == "fp16" and not gpu:
            raise ValueError("--precision fp16 needs a GPU: choose bf16 or no")
        if precision == "bf16" and gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
            warnings.warn("this GPU only emulates bf16, which is slow: choose --precision fp16 or no", stacklevel=3)
        self.precision, self.device = precision, torch.device("cuda" if gpu else "cpu")
        self.index, self.count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        if self.count > 1:
            if gpu:
                self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
                torch.cuda.set_device(self.device)
            if not distributed.is_initialized():  # by an earlier run in this process
                distributed.init_process_group("nccl" if gpu else "gloo")
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")  # else it changes nothing

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.index == 0

    def share(self, items: Tensor) -> Tensor:
        """Returns this process's part of a batch; the lengths of the parts differ by at most one."""
        return items.tensor_split(self.count)[self.index]

    def wait(self) -> None:
        if self.count > 1:
            distributed.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Runs the block in the main process first, then in the others."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def sum(self, value: Tensor) -> Tensor:
        """Returns the sum over the processes, which replaces the value."""
        if self.count > 1:
            distributed.all_reduce(value)
        return value

    def prepared(self, model: nn.Module) -> nn.Module:
        """Moves the model to this process's device with the main process's weights; on GPUs batch norms are shared."""
        if self.count > 1 and self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        model.to(self.device)
        if self.count > 1:
            for tensor in [*model.parameters(), *model.buffers()]:
                distributed.broadcast(tensor.detach(), 0)
        return model

    def gather(self, rows: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """Returns the rows of every process, in every process, on the CPU."""
        rows = {name: value.cpu() for name, value in rows.items()}
        if self.count == 1:
            return [rows]
        gathered: list[Any] = [None] * self.count
        distributed.all_gather_object(gathered, rows)
        return gathered

    def backward(self, loss: Tensor) -> None:
        self.scaler.scale(loss).backward()

    def reduce_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Sums every gradient over the processes, in one message per device."""
        if self.count == 1:
            return
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        distributed.all_reduce(flat)
        for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def clip(self, optimizer: torch.optim.Optimizer, norm: float) -> Tensor:
        """Clips the norm of the gradient to `norm`; returns the norm before."""
        self.scaler.unscale_(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        return nn.utils.clip_grad_norm_(parameters, norm)

    def step(self, optimizer: torch.optim.Optimizer) -> None:
        """Takes a step of the optimizer; with fp16, not where the gradients overflowed."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def autocast(self) -> AbstractContextManager:
        """Makes networks compute in `precision` inside the block; hand and losses switch back to single precision."""
        return torch.autocast(self.device.type, HALF[self.precision]) if self.precision in HALF else nullcontext()
