"""What a reproduction's trainings are given from outside: weights for J2D, a hand, its fingertips, backgrounds.

Every training has the same, baselines too. In records files go by their names, since their folders are of one machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...data import open_backgrounds
from ...hand import HandModel
from ...hand.joints import FINGERTIPS
from ...networks.pretrained import read_posenet
from ...training.profiles import TrainConfig

IN_MODEL = ("posenet", "hand", "fingertips")  # fields of a run's model; `backgrounds` is one of the run itself
FILES = ("posenet", "hand")


@dataclass(frozen=True)
class Equipment:
    """The fields are those of `DHPEConfig` and `TrainConfig`; one at its default leaves a run as its profile."""

    posenet: str = ""  # file of the published weights that the paper's J2D starts from
    hand: str = "openhand"  # or the file of a hand model, such as MANO_RIGHT.pkl
    fingertips: str = "smplx"  # name of the vertices that stand for the tips
    backgrounds: str = ""  # nyu:FILE or pictures:FOLDER, put behind augmented and rendered training hands

    def __post_init__(self):
        if self.fingertips not in FINGERTIPS:
            raise ValueError(f"unknown fingertip set '{self.fingertips}': choose one of {', '.join(FINGERTIPS)}")

    @property
    def chosen(self) -> dict[str, str]:
        """What is not the default."""
        return {name: value for name, value in vars(self).items() if value != getattr(Equipment, name)}

    @property
    def words(self) -> list[str]:
        """The options that say this, files by their names."""
        return [word for name, value in self.pathless.chosen.items() for word in (f"--{name}", value)]

    @property
    def pathless(self) -> "Equipment":
        """The same without folders."""
        return Equipment(**pathless_model(vars(self)) | {"backgrounds": pathless_backgrounds(self.backgrounds)})

    def equipped(self, run: TrainConfig) -> TrainConfig:
        """A training run with these. `ValueError` where its networks cannot take them."""
        model = {name: value for name, value in self.chosen.items() if name in IN_MODEL}
        return replace(run, model=replace(run.model, **model), backgrounds=self.backgrounds or run.backgrounds)

    def check(self) -> None:
        """Reads all of it, so that what is missing or damaged is an error before anything is trained."""
        if self.posenet:
            read_posenet(self.posenet)
        HandModel.load(self.hand, self.fingertips)
        if self.backgrounds:
            open_backgrounds(self.backgrounds)


def pathless_model(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a model's config, files by their names."""
    return {name: Path(value).name if name in FILES else value for name, value in fields.items()}


def pathless_backgrounds(spec: str) -> str:
    """A spec of backgrounds with the name of its file or folder alone."""
    kind, colon, path = spec.partition(":")
    return kind + colon + Path(path).name
