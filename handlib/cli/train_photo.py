"""`handlib train --profile photo`: E3D and Ref on evidence that has seen photographs."""

from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..training.photo_model import PhotoTraining, train_photo

DEFAULT = PhotoTraining()


def train_photo_command(arguments: list[str]) -> None:
    """Every field of `PhotoTraining`, and the folder of the run."""

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[PhotoTraining, tyro.conf.arg(name="")]] = DEFAULT,
        out: Path = Path("runs") / "photo",
    ) -> None:
        """Trains E3D and Ref of the photo model, whose evidence networks are published ones and stay as they are.

        Evidence of rendered hands is cached first, then skeletons with its errors are lifted, then E3D is tuned on the
        evidence itself and, with --photographs, on photographs without labels. Interrupted, it goes on where it
        stopped. Half an hour on one core. Then: handlib predict PHOTO --checkpoint OUT/model.safetensors.

        Args:
            config: Every field, to override.
            out: Folder of the run: config.json, the cached rows, the states of both phases, model.safetensors.
        """
        torch.set_flush_denormal(True)  # weights that fade would make a step three times as slow
        train_photo(config, out)
        print("wrote", out / "model.safetensors")

    tyro.cli(run, prog="handlib train --profile photo", args=arguments)
