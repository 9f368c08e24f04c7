"""An exponential average of a network's weights over its steps, which is better than the weights of any one step."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class Average:
    """keep: the part of the average that stays in each step; 0 for no average at all."""

    def __init__(self, model: nn.Module, keep: float):
        self.model, self.keep, self.updates = model, keep, 0
        self.weights: dict[str, Tensor] = {k: v.clone() for k, v in model.state_dict().items()} if keep else {}
        self._in_training: dict[str, Tensor] = {}  # the weights in training, while the average has replaced them

    def update(self) -> None:
        """Takes in the weights as they are. The memory is shorter at first: the random start is soon forgotten."""
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
        """Gives the model the averaged weights, if there are any."""
        if self.keep:
            self.model.load_state_dict(self.weights)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; `in_training` is still what it is trained with."""
        if self.keep:
            self._in_training = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.apply()
        try:
            yield
        finally:
            if self._in_training:
                self.model.load_state_dict(self._in_training)
            self._in_training = {}

    def in_training(self) -> dict[str, Tensor]:
        return self._in_training or self.model.state_dict()
