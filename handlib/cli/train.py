"""`handlib train`: a profile, then overrides of any of its fields."""

import os
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..data.cache import CACHE
from ..training.train import PROFILES, TrainConfig, read_log, train
from .profiles import take_profile


def train_command(arguments: list[str]) -> None:
    profile, arguments = take_profile(arguments, (*PROFILES, "photo"))
    if profile == "photo":
        return _photo(arguments)

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[TrainConfig, tyro.conf.arg(name="")]] = PROFILES[profile],
        out: Path = Path("runs") / profile,
        resume: bool = True,
    ) -> None:
        """Trains a DHPE. --profile smoke|laptop|gpu|paper, given first, sets the defaults below; --profile photo trains
        E3D and Ref of the photo model, with options of its own.

        Resumes an interrupted run from its last saved state, and comes to the same result. In several processes, on one
        or several GPUs: torchrun --nproc_per_node N -m handlib.cli train … Then: handlib predict PHOTO --checkpoint
        OUT/model.safetensors.

        Args:
            config: Every field of the profile, to override.
            out: Folder of the run: config.json, log.jsonl, state.pt, model.safetensors.
            resume: Go on with the run in OUT; --no-resume starts anew.
        """
        train(config, out, resume, CACHE)
        if int(os.environ.get("RANK", "0")):  # the first of several processes speaks for all
            return
        last = read_log(out)[-1]
        texts = {"val_joints_root_mean_mm": "validation error {:.1f} mm", "val_mean_iou": "mean IoU {:.3f}"}
        scores = ", ".join(text.format(last[name]) for name, text in texts.items() if name in last)
        print(f"trained {last['epoch']} epochs in {last['minutes']} minutes" + (scores and f": {scores}"))
        print("wrote", out / "model.safetensors")

    tyro.cli(run, prog="handlib train", args=arguments)


def _photo(arguments: list[str]) -> None:
    from ..training.photo_model import PhotoTraining, train_photo  # late: it brings the photo room

    default = PhotoTraining()

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[PhotoTraining, tyro.conf.arg(name="")]] = default,
        out: Path = Path("runs") / "photo",
    ) -> None:
        """Trains E3D and Ref of the photo model on the evidence of its two frozen networks.

        First it caches the evidence of rendered hands, then E3D learns to lift skeletons with errors like those of the
        evidence, then it is tuned on the evidence itself and, with --photographs, on photographs without labels. It
        resumes after an interruption. It takes half an hour on one core. Then: handlib predict PHOTO --checkpoint
        OUT/model.safetensors.

        Args:
            config: Every field, to override.
            out: Folder of the run: config.json, the cached rows, the states of both phases, model.safetensors.
        """
        torch.set_flush_denormal(True)  # weights that fade would make a step three times as slow
        train_photo(config, out)
        print("wrote", out / "model.safetensors")

    tyro.cli(run, prog="handlib train --profile photo", args=arguments)
