"""Runs training steps on one or several devices, with accelerate.

Every process holds the whole model and its part of each batch (`Processes.share`). The loss of a part is weighted by
its number of images, and gradients are summed over the processes (`reduce_gradients`). On GPUs, batch normalization
uses the mean and variance of the whole batch (torch's SyncBatchNorm), so the result does not depend on the number of
processes except for rounding. On CPUs torch has no such layer: each process normalizes its own part of a batch, and the
main process saves its running statistics.

Without accelerate (`pip install 'handlib[distributed]'`) one process trains in single precision.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

Precision = Literal["no", "bf16", "fp16"]
_EXTRA = "needs accelerate, which is not installed: pip install 'handlib[distributed]'"


class Processes:
    """This process, its device, and its communication with the others.

    device: "auto" is the GPU of this process if there is one, else the CPU; or "cpu". precision: of the convolutional
    networks.
    """

    def __init__(self, device: str = "auto", precision: Precision = "no"):
        self.precision = precision
        try:
            import accelerate
        except ModuleNotFoundError:
            self._alone(device, precision)
            return
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)  # forgets an earlier run in this process
        cpu = device == "cpu" or not torch.cuda.is_available()
        self.accelerator = accelerate.Accelerator(cpu=cpu, mixed_precision=precision)
        self.device = self.accelerator.device
        self.index, self.count = self.accelerator.process_index, self.accelerator.num_processes
        if precision == "fp16" and self.device.type == "cpu":
            raise ValueError("--precision fp16 needs a GPU: choose bf16 or no")
        emulated = self.device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False)
        if precision == "bf16" and emulated:
            warnings.warn("this GPU only emulates bf16, which is slow: choose --precision fp16 or no", stacklevel=3)

    def _alone(self, device: str, precision: Precision) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ModuleNotFoundError(f"training in several processes {_EXTRA}")
        if precision != "no":
            raise ModuleNotFoundError(f"mixed precision {_EXTRA}")
        self.accelerator, self.index, self.count = None, 0, 1
        self.device = torch.device("cuda" if device == "auto" and torch.cuda.is_available() else "cpu")

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.index == 0

    @property
    def scaler(self) -> torch.amp.GradScaler | None:
        """What scales the loss with fp16, by a factor that depends on the steps so far."""
        return getattr(self.accelerator, "scaler", None)

    def share(self, items: Tensor) -> Tensor:
        """Returns this process's part of a batch; the lengths of the parts differ by at most one."""
        return items.tensor_split(self.count)[self.index]

    def wait(self) -> None:
        if self.count > 1:
            self.accelerator.wait_for_everyone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Runs the block in the main process first, then in the others."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def sum(self, value: Tensor) -> Tensor:
        return value if self.count == 1 else self.accelerator.reduce(value, "sum")

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

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Returns the optimizer; with fp16, one that skips steps whose gradients overflowed."""
        return optimizer if self.precision != "fp16" else self.accelerator.prepare(optimizer)

    def backward(self, loss: Tensor) -> None:
        if self.accelerator is None:
            loss.backward()
        else:
            self.accelerator.backward(loss)

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
        if self.precision == "fp16":
            self.accelerator.unscale_gradients(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        return nn.utils.clip_grad_norm_(parameters, norm)

    def autocast(self) -> AbstractContextManager:
        """Makes networks compute in `precision` inside the block; hand and losses switch back to single precision."""
        return nullcontext() if self.precision == "no" else self.accelerator.autocast()
