"""`handlib bench NAME`: timings."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro

from ..evaluation import results
from ..experiments.bench.checks import CHECKS_BENCHES, bench_checks
from ..experiments.bench.data import DATA_BENCHES, bench_data
from ..experiments.bench.gpu import GPU_BENCHES, GpuBench, bench_gpu
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
    commands = {name: _command(name, profile) for name in BENCHES} | {"gpu": _gpu(profile)}
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
        device: Literal["all", "cpu", "cuda"] = "all",
        results_dir: Path = Path("results"),
    ) -> None:
        if profile not in profiles:
            raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(profiles)}")
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("torch sees no GPU here: choose --device cpu")
        there = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
        for one in there if device == "all" else (device,):
            record = bench(config, profile, one)
            if record is not None:
                print("wrote", results.write(record, results_dir))

    run.__doc__ = f"""{bench.__doc__.splitlines()[0]} Profiles: {", ".join(profiles)}.

        Args:
            config: Fields of the profile to override.
            device: Where to run; all: on the CPU, then on the GPU if there is one.
            results_dir: Folder of results files.
        """
    return run


def _gpu(profile: str) -> Callable[..., None]:
    default = GPU_BENCHES.get(profile, GPU_BENCHES["laptop"])

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[GpuBench, tyro.conf.arg(name="")]] = default,
        results_dir: Path = Path("results"),
        out: Path = Path("runs") / "gpu",
    ) -> None:
        """Runs kernel tests, these benchmarks and a training on a GPU within minutes. Profiles: smoke, laptop.

        Args:
            config: Fields of the profile to override.
            results_dir: Folder of results files.
            out: Folder of the training's run, with its weights.
        """
        if profile not in GPU_BENCHES:
            raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(GPU_BENCHES)}")
        print("wrote", results.write(bench_gpu(config, profile, results_dir, out), results_dir))

    return run
