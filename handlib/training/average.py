"""An exponential average of a network's weights over the training steps, usually better than the last weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class Average:
    """Averages the weights of a model. keep: the fraction of the average that each step keeps; 0: no average."""

    def __init__(self, model: nn.Module, keep: float):
        self.model, self.keep, self.updates = model, keep, 0
        self.weights: dict[str, Tensor] = {k: v.clone() for k, v in model.state_dict().items()} if keep else {}

    def update(self) -> None:
        """Adds the current weights. The first steps keep less, so that the random start is soon forgotten."""
        if not self.keep:
            return
        now = self.model.state_dict()
        self.updates += 1
        keep = min(self.keep, (1 + self.updates) / (10 + self.updates))
        for name, value in self.weights.items():
            if value.is_floating_point():
                value.lerp_(now[name], 1 - keep)
            else:
                value.copy_(now[name])

    def apply(self) -> None:
        """Loads the averaged weights, if there are any, into the model."""
        if self.keep:
            self.model.load_state_dict(self.weights)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Gives the model the averaged weights inside the block."""
        own = {k: v.clone() for k, v in self.model.state_dict().items()} if self.keep else {}
        self.apply()
        try:
            yield
        finally:
            if self.keep:
                self.model.load_state_dict(own)
