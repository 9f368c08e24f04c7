"""What is trained on and what is measured on: the open benchmark, or the real data sets that `--data` names.

Of the named sets, those with a training split together are the training set, and each is a test set of its own; if
none has one (Dexter+Object alone), training is on the benchmark. Without `--data` all is the benchmark, whose three
test splits stand for the paper's three: "diverse" for RHD, "studio" for SHD, "object" for Dexter+Object.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...data import CachedHands, SyntheticHands, open_spec
from ...data.specs import HANDS, hold_out, parse_spec
from ...hand import HandModel
from ...training.feed import evenly, in_memory
from ...training.profiles import TrainConfig
from .sets import SPLITS

HELD_OUT = 0.05  # of each real training set, where something is chosen by the error on it


@dataclass(frozen=True)
class Hands:
    """specs: of real data sets (`handlib.data.open_spec`); none for the benchmark."""

    specs: tuple[str, ...] = ()

    @property
    def training(self) -> tuple[str, ...]:
        """As of `TrainConfig.data`."""
        return tuple(spec for spec in self.specs if HANDS[kind_of(spec)].trains) or ("synthetic",)

    @property
    def tests(self) -> tuple[str, ...]:
        """Names of the test sets."""
        return tuple(kind_of(spec) for spec in self.specs) or SPLITS

    @property
    def suffix(self) -> str:
        """Of the name of whatever is made from these: empty for the benchmark."""
        return "".join(f"-{name}" for name in (self.tests if self.specs else ()))

    @property
    def described(self) -> str:
        """The argument `--data` without the paths, which are of one machine."""
        return ",".join(f"{spec.partition(':')[0]}:PATH" for spec in self.specs)

    def config(self, config: TrainConfig) -> TrainConfig:
        """A training run on these. `ValueError` where the run is one on real data and none is named."""
        if not self.specs and config.data != ("synthetic",):
            wanted = ",".join(f"{kind_of(spec)}:PATH" for spec in config.data)
            raise ValueError(f"profile {config.profile} trains on real data sets: say where they are, --data {wanted}")
        feed = config.feed if self.training == ("synthetic",) or config.feed != "device" else "workers"
        return replace(config, data=self.training, val_data=self.training[:1], feed=feed)

    def tuning(self, config: TrainConfig) -> TrainConfig:
        """A run that something is chosen by: on hands held out of the training sets, since the tests must not be."""
        data = tuple(spec if spec == "synthetic" else hold_out(spec, HELD_OUT) for spec in config.data)
        return replace(config, data=data, val_data=data[:1])

    def test(
        self, name: str, config: TrainConfig, n: int, cache: str | os.PathLike[str] | None, progress: bool = True
    ) -> CachedHands:
        """The test set of a name, at most n of its hands, in memory."""
        size = config.model.size
        if name in SPLITS:
            hand = HandModel.load(config.model.hand, config.model.fingertips)
            dataset = SyntheticHands(name, size, min(n, len(SyntheticHands(name, hand=hand))), hand=hand)
        else:
            spec = next(spec for spec in self.specs if kind_of(spec) == name)
            dataset = evenly(open_spec(spec, "test", size=size), n)
        return in_memory([dataset], config.workers, cache, progress)


def parse_data(text: str) -> Hands:
    """`rhd:PATH,stb:PATH`; a spec may have arguments, and a path commas: `rhd,joint0=wrist:PATH,do:PATH`."""
    specs: list[str] = []
    for piece in filter(None, text.split(",")):
        if piece.partition(":")[0] in HANDS or not specs:
            specs.append(piece)
        else:
            specs[-1] += f",{piece}"
    for spec in specs:
        parse_spec(spec, HANDS)
    kinds = [kind_of(spec) for spec in specs]
    if len(set(kinds)) < len(kinds):
        raise ValueError(f"--data {text}: a data set is named twice, so its results could not be told apart")
    return Hands(tuple(specs))


def kind_of(spec: str) -> str:
    return spec.partition(":")[0].partition(",")[0]


def pathless(specs: Sequence[str]) -> list[str]:
    """Specs without their paths, for a record."""
    return [spec.partition(":")[0] for spec in specs]
