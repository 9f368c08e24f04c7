"""`handlib bench NAME`: timings."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..evaluation import results
from ..experiments.bench.checks import CHECKS_BENCHES, bench_checks
from ..experiments.bench.data import DATA_BENCHES, bench_data
from ..experiments.bench.hand import HAND_BENCHES, bench_hand
from ..experiments.bench.predict import PREDICT_BENCHES, bench_predict
from ..experiments.bench.refinement import REFINEMENT_BENCHES, bench_refinement
from ..experiments.bench.renderer import RENDERER_BENCHES, bench_renderer
from ..experiments.bench.training import TRAINING_BENCHES, bench_training
from .profiles import take_profile

BENCHES = {  # name → function, whose docstring is the help, and its profiles
    "checks": (bench_checks, CHECKS_BENCHES),
    "data": (bench_data, DATA_BENCHES),
    "hand": (bench_hand, HAND_BENCHES),
    "renderer": (bench_renderer, RENDERER_BENCHES),
    "predict": (bench_predict, PREDICT_BENCHES),
    "refinement": (bench_refinement, REFINEMENT_BENCHES),
    "training": (bench_training, TRAINING_BENCHES),
}
PROFILES = tuple({profile: None for _, profiles in BENCHES.values() for profile in profiles})


def bench_command(arguments: list[str]) -> None:
    profile, arguments = take_profile(arguments, PROFILES)
    commands = {name: _command(name, profile) for name in BENCHES}
    about = (
        "Runs on the CPU, then on the GPU if there is one, and writes a results file for each. --profile sets defaults."
    )
    tyro.extras.subcommand_cli_from_dict(
        commands, prog="handlib bench", description=about, args=arguments or ["--help"]
    )


def _command(name: str, profile: str) -> Callable[..., None]:
    bench, profiles = BENCHES[name]
    default = profiles.get(profile, profiles["laptop"])

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[type(default), tyro.conf.arg(name="")]] = default,
        results_dir: Path = Path("results"),
    ) -> None:
        if profile not in profiles:
            raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(profiles)}")
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            record = bench(config, profile, device)
            if record is not None:
                print("wrote", results.write(record, results_dir))

    run.__doc__ = f"""{bench.__doc__.splitlines()[0]} Profiles: {", ".join(profiles)}.

        Args:
            config: Fields of the profile to override.
            results_dir: Folder of results files.
        """
    return run
