"""One training step on one or several devices: what accelerate does for us, and what it leaves to us.

Every process holds the whole model and its part of each batch (`Processes.share`). The loss of a part is weighted by
its number of images, gradients are summed over the processes (`reduce_gradients`), and batch normalisation takes the
mean and variance of all images of the batch (`SharedBatchNorm`): so the result is that of one process, to rounding,
however many there are.

Without accelerate (`pip install 'handlib[distributed]'`) one process trains in single precision.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

Precision = Literal["no", "bf16", "fp16"]
_EXTRA = "needs accelerate, which is not installed: pip install 'handlib[distributed]'"


class Processes:
    """The process that this is, and its device.

    device: "auto" is the GPU of this process if there is one; "cpu". precision: of the convolutional networks.
    """

    def __init__(self, device: str = "auto", precision: Precision = "no"):
        self.precision = precision
        try:
            import accelerate
        except ModuleNotFoundError:
            self._alone(device, precision)
            return
        from accelerate.state import AcceleratorState

        AcceleratorState._reset_state(reset_partial_state=True)  # what an earlier run in this process had chosen
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
        """Whether this is the process that writes files."""
        return self.index == 0

    def share(self, items: Tensor) -> Tensor:
        """This process' part of a batch; the parts differ in length by one at most."""
        return items.tensor_split(self.count)[self.index]

    def wait(self) -> None:
        """Until every process is here."""
        if self.count > 1:
            self.accelerator.wait_for_everyone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process goes through the block alone, then the others."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def sum(self, value: Tensor) -> Tensor:
        """Of the values of all processes."""
        return value if self.count == 1 else self.accelerator.reduce(value, "sum")

    def equalise(self, tensors: Sequence[Tensor]) -> None:
        """Gives every process the main one's values."""
        if self.count > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), 0)

    def gather(self, rows: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """The rows of every process, in every process, on the CPU."""
        rows = {name: value.cpu() for name, value in rows.items()}
        if self.count == 1:
            return [rows]
        found: list[Any] = [None] * self.count
        distributed.all_gather_object(found, rows)
        return found

    def optimizer(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """The optimiser; with fp16, one that leaves out the steps whose gradients overflowed."""
        return optimizer if self.precision != "fp16" else self.accelerator.prepare(optimizer)

    def backward(self, loss: Tensor) -> None:
        if self.accelerator is None:
            loss.backward()
        else:
            self.accelerator.backward(loss)

    def reduce_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Sums every gradient over the processes, in one message a device."""
        if self.count == 1:
            return
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        distributed.all_reduce(flat)
        for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    def clip(self, optimizer: torch.optim.Optimizer, norm: float) -> Tensor:
        """Makes the gradient no longer than `norm`; returns how long it was."""
        if self.precision == "fp16":
            self.accelerator.unscale_gradients(optimizer)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        return nn.utils.clip_grad_norm_(parameters, norm)

    def autocast(self) -> AbstractContextManager:
        """Inside, networks compute in `precision`; the hand and the losses go back to single precision themselves."""
        return nullcontext() if self.precision == "no" else self.accelerator.autocast()


class _Normalise(torch.autograd.Function):
    """(x − mean) / √(variance + ε) · weight + bias with the mean and variance of all processes' x; also these two, and
    over how many numbers they are.

    aten's fused kernels do the passes over x: `native_batch_norm` finds the statistics of this process' part, and with
    statistics given it is one linear map for each channel.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        _, mean, inverse = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        mean, inverse = mean.double(), inverse.double()
        count = mean.new_full(mean.shape, x.numel() / x.shape[1])
        sums = torch.stack([count * mean, count * (inverse**-2 - eps + mean**2), count])
        distributed.all_reduce(sums)
        total, squares, count = sums
        mean = total / count
        variance = (squares / count - mean**2).clamp(min=0)
        mean, variance = mean.to(weight.dtype), variance.to(weight.dtype)
        ctx.eps, ctx.count = eps, count
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.mark_non_differentiable(mean, variance, count)
        return torch.native_batch_norm(x, weight, bias, mean, variance, False, 0.0, eps)[0], mean, variance, count

    @staticmethod
    def backward(ctx, grad, *_):
        x, weight, mean, variance = ctx.saved_tensors
        # As if mean and variance were constants; then what they add, which needs the sums of all processes.
        grad_x, grad_weight, grad_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([grad_weight, grad_bias])
        distributed.all_reduce(sums)
        inverse = (variance + ctx.eps).rsqrt()
        by_weight, by_bias = sums * (weight * inverse / ctx.count).to(weight.dtype)
        slope = by_weight * inverse
        offset = by_bias - slope * mean
        grad_x = torch.addcmul(grad_x - offset[:, None, None], x, slope[:, None, None], value=-1).to(x.dtype)
        return grad_x, grad_weight, grad_bias, None


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes; on any device, unlike torch's own, which needs a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and distributed.is_initialized()):
            return super().forward(x)
        single = torch.promote_types(x.dtype, torch.float32)
        weight = self.weight if self.affine else x.new_ones(x.shape[1], dtype=single)
        bias = self.bias if self.affine else x.new_zeros(x.shape[1], dtype=single)
        out, mean, variance, count = _Normalise.apply(x, weight, bias, self.eps)
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_((variance * count / (count - 1)).to(variance.dtype), momentum)
        return out


def share_batch_norm(model: nn.Module) -> None:
    """Turns every BatchNorm2d inside into a SharedBatchNorm with the same parameters and buffers, in place."""
    for module in list(model.modules()):
        for name, layer in module.named_children():
            if type(layer) is nn.BatchNorm2d:
                shared = SharedBatchNorm(
                    layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
                )
                shared.weight, shared.bias = layer.weight, layer.bias
                shared.running_mean, shared.running_var = layer.running_mean, layer.running_var
                shared.num_batches_tracked = layer.num_batches_tracked
                setattr(module, name, shared.train(layer.training))
