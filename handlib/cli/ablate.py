"""`handlib ablate STUDY`: training with and without a part of the method."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import tyro

from ..data.cache import CACHE
from ..evaluation import results
from ..experiments.ablate import schedule_study
from ..experiments.reproduce.scales import SCALES
from ..training.train import TrainConfig
from .profiles import take_profile


def ablate_command(arguments: list[str]) -> None:
    """`handlib ablate schedule`: a profile, then overrides of any field of its training runs."""
    study, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if study in ("", "-h", "--help"):
        print("usage: handlib ablate STUDY …   (handlib ablate STUDY --help says more)\n")
        print("  schedule     the switch of Eq. 12 against a constant weight of the shape loss (Fig. 5f)")
        return
    if study != "schedule":
        raise ValueError(f"unknown study '{study}': choose schedule")
    profile, rest = take_profile(rest, SCALES)

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[TrainConfig, tyro.conf.arg(name="")]] = SCALES[profile].schedule,
        out: Path = Path("runs") / f"schedule-{profile}",
        resume: bool = True,
        results_dir: Path = Path("results"),
    ) -> None:
        """Trains twice from one seed, with the switch of Eq. 12 and with a constant weight; writes one results file.

        --profile smoke|laptop|workstation|gpu|paper, given first, sets the defaults below, which are those of `handlib
        reproduce schedule`. It resumes after an interruption.

        Args:
            config: Every field of the runs' profile, to override.
            out: Folder of the two runs, scheduled and constant.
            resume: Go on with the runs in OUT; --no-resume starts anew.
            results_dir: Folder that holds results files.
        """
        # What repeats the run, in any number of sittings.
        kept = [argument for argument in arguments if argument not in ("--resume", "--no-resume")]
        record = schedule_study(config, out, shlex.join(["handlib", "ablate", *kept]), resume, CACHE)
        if int(os.environ.get("RANK", "0")):  # the first of several processes speaks for all
            return
        print("wrote", results.write(record, results_dir))

    tyro.cli(run, prog="handlib ablate schedule", args=rest)
