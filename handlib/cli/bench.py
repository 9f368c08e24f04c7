"""`handlib bench NAME`: timings."""

from pathlib import Path
from typing import Annotated

import torch
import tyro

from ..evaluation import results
from ..experiments.bench.data import DATA_BENCHES, bench_data
from ..experiments.bench.hand import HAND_BENCHES, bench_hand
from ..experiments.bench.predict import PREDICT_BENCHES, bench_predict
from ..experiments.bench.refinement import REFINEMENT_BENCHES, bench_refinement
from ..experiments.bench.renderer import RENDERER_BENCHES, bench_renderer
from ..experiments.bench.training import TRAINING_BENCHES, bench_training
from .profiles import take_profile

BENCHES = {  # name → function, profiles, what is timed, how
    "data": (
        bench_data,
        DATA_BENCHES,
        "the pictures of the benchmark",
        "Images a second on one thread, and on the GPU if there is one.",
    ),
    "hand": (
        bench_hand,
        HAND_BENCHES,
        "the hand model against smplx, MANO's own code",
        "Vertices forward, and with derivatives; on one thread, and on the GPU if there is one.",
    ),
    "renderer": (
        bench_renderer,
        RENDERER_BENCHES,
        "silhouettes and their gradients against pytorch3d's",
        "Milliseconds and memory, on one thread, and on the GPU if there is one; without pytorch3d, of ours alone.",
    ),
    "predict": (
        bench_predict,
        PREDICT_BENCHES,
        "a photograph from pixels to meshes, and hands in a batch",
        "CPU time on one thread, warm.",
    ),
    "refinement": (
        bench_refinement,
        REFINEMENT_BENCHES,
        "refine as shipped, with features and by the paper's gradient steps; fit with and without 3D joints and mask",
        "CPU time on one thread, and on the GPU if there is one.",
    ),
    "training": (
        bench_training,
        TRAINING_BENCHES,
        "a step of training against its networks alone",
        "Images a second, the overhead of data, rendering and losses, and the fraction of the device's matrix rate.",
    ),
}


def bench_command(arguments: list[str]) -> None:
    """`handlib bench NAME`: a profile, then overrides of any of its fields."""
    name, arguments = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name in ("-h", "--help"):
        print("usage: handlib bench NAME …   (handlib bench NAME --help says more)\n")
        for name, (_, _, what, _) in BENCHES.items():
            print(f"  {name:12} {what}")
        return
    if name not in BENCHES:
        raise ValueError(f"unknown benchmark '{name}': choose one of {', '.join(BENCHES)}")
    bench, profiles, what, how = BENCHES[name]
    profile, arguments = take_profile(arguments, profiles)
    default = profiles[profile]

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[type(default), tyro.conf.arg(name="")]] = default,
        results_dir: Path = Path("results"),
    ) -> None:
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            print("wrote", results.write(bench(config, profile, device), results_dir))

    run.__doc__ = f"""Times {what}, in turns; writes a results file.

        {how} --profile smoke|laptop (first) sets the defaults below.

        Args:
            config: Every field of the profile, to override.
            results_dir: Folder that holds results files.
        """
    tyro.cli(run, prog=f"handlib bench {name}", args=arguments)
