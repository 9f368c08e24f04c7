"""Chooses the settings of test-time refinement on the validation split and writes results/refinement-tuning.json.

    python tools/tune_refinement.py [--profile smoke] [--checkpoint runs/x/model.safetensors] [--hands 500] …

Copy the best settings to handlib/refinement.py by hand.
"""

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import tyro

from handlib.data.cache import CACHE
from handlib.evaluation import results
from handlib.experiments.tune import SWEEPS, tune_refinement


def main(
    profile: str = "laptop",
    checkpoint: str | None = None,
    hands: int | None = None,
    rendered_hands: int | None = None,
    out: Path = Path("results"),
) -> None:
    """Sweeps the grid of handlib.experiments.tune.TuneConfig; options default to those of the profile."""
    if profile not in SWEEPS:
        sys.exit(f"unknown profile '{profile}': choose one of {', '.join(SWEEPS)}")
    options = {"checkpoint": checkpoint, "hands": hands, "rendered_hands": rendered_hands}
    config = replace(SWEEPS[profile], **{name: value for name, value in options.items() if value is not None})
    command = shlex.join(["python", "tools/tune_refinement.py", *sys.argv[1:]])
    print(f"wrote {results.write(tune_refinement(config, profile, command, cache=str(CACHE)), out)}")


if __name__ == "__main__":
    tyro.cli(main)
