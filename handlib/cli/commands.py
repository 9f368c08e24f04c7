"""The command line. Each command is a function; its docstring and its arguments are the help that it prints."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
import tyro

from ..data.cache import CACHE
from ..dhpe import checkpoint_path
from ..evaluation import audit, results
from ..experiments.ablate import PROFILES as STUDIES
from ..experiments.ablate import schedule_study
from ..experiments.bench.data import PROFILES as DATA_BENCHES
from ..experiments.bench.data import bench_data
from ..experiments.bench.hand import PROFILES as HAND_BENCHES
from ..experiments.bench.hand import bench_hand
from ..experiments.bench.refinement import PROFILES as REFINEMENT_BENCHES
from ..experiments.bench.refinement import bench_refinement
from ..experiments.bench.renderer import PROFILES as RENDERER_BENCHES
from ..experiments.bench.renderer import bench_renderer
from ..experiments.bench.training import PROFILES as TRAINING_BENCHES
from ..experiments.bench.training import bench_training
from ..predict_cli import predict_command
from ..renderer.backends import BACKENDS, available, choose
from ..support import jit
from ..training.train import PROFILES, TrainConfig, read_log, train
from .data import data_command
from .evaluate import evaluate_command
from .reproduce import reproduce_command


def results_command(
    action: tyro.conf.Positional[Literal["show", "verify"]],
    names: tyro.conf.Positional[tuple[str, ...]] = (),
    /,
    results_dir: Path = Path("results"),
    strict: bool = False,
) -> None:
    """Lists results files, or checks whether they may still be believed.

    show: a table of all, or everything about those named. verify: schema, digests, smoke runs, and whether the code has
    changed since; exit status 2 if there is an error.

    Args:
        action: show or verify.
        names: Names of results files; all of the folder by default.
        results_dir: Folder that holds results files.
        strict: With verify, doubts are errors too.
    """
    if action == "show":
        print(audit.show(results_dir, names))
        return
    findings = audit.verify(results_dir, names)
    print(audit.report(findings, len(audit.paths(results_dir, names))))
    wrong = {f.file for f in findings if strict or f.level == "error"}
    if wrong:
        raise ValueError(f"not to be believed: {', '.join(sorted(wrong))}")


def info_command() -> None:
    """What is installed and what would be used: versions, device, renderer, models, caches."""
    for key, text in results.versions().items():
        print(f"{key:12} {text}")
    print(f"{'device':12} {results.device_name('cpu')}")
    cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    print(f"{'CUDA':12} {cuda}")
    there = available()
    missing = [name for name in BACKENDS if name not in there]
    also = f"; not installed: {', '.join(missing)}" if missing else ""
    picked = ", ".join(f"{choose('auto', device).name} on {device}" for device in ("cpu", "cuda"))
    print(f"{'renderer':12} auto = {picked} (there are: {', '.join(there)}{also})")
    print(f"{'hand model':12} {'compiled loops on the CPU' if jit.available() else 'plain torch (without numba)'}")
    lite = checkpoint_path("lite")
    print(f"{'lite':12} {lite if lite.is_file() else 'not shipped with this version'}")
    print(f"{'cache':12} {CACHE}")


def _profile(arguments: list[str], known: Iterable[str]) -> tuple[str, list[str]]:
    """The value of --profile, and the other arguments."""
    profile = "laptop"
    # --profile=gpu as --profile gpu; a value may hold a "=" of its own, as rhd,joint0=wrist:PATH does.
    arguments = [part for word in arguments for part in (word.split("=", 1) if word.startswith("--") else [word])]
    if "--profile" in arguments:
        at = arguments.index("--profile")
        profile = arguments[at + 1] if at + 1 < len(arguments) else ""
        arguments = arguments[:at] + arguments[at + 2 :]
    if profile not in known:
        raise ValueError(f"unknown profile '{profile}': choose one of {', '.join(known)}")
    return profile, arguments


def train_command(arguments: list[str]) -> None:
    """`handlib train`: a profile, then overrides of any of its fields."""
    profile, arguments = _profile(arguments, PROFILES)

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[TrainConfig, tyro.conf.arg(name="")]] = PROFILES[profile],
        out: Path = Path("runs") / profile,
        resume: bool = True,
    ) -> None:
        """Trains a DHPE. --profile smoke|laptop|gpu|paper (first) sets the defaults below.

        Resumes an interrupted run, from the last state that it saved, to the same result. In several processes, on one
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
        print(f"trained {last['epoch']} epochs in {last['minutes']} minutes: validation error "
              f"{last['val_joints_root_mean_mm']:.1f} mm, mean IoU {last['val_mean_iou']:.3f}")  # fmt: skip
        print("wrote", out / "model.safetensors")

    tyro.cli(run, prog="handlib train", args=arguments)


def ablate_command(arguments: list[str]) -> None:
    """`handlib ablate schedule`: a profile, then overrides of any field of its training runs."""
    study, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if study in ("-h", "--help"):
        print("usage: handlib ablate STUDY …   (handlib ablate STUDY --help says more)\n")
        print("  schedule     the switch of Eq. 12 against a constant weight of the shape loss (Fig. 5f)")
        return
    if study != "schedule":
        raise ValueError(f"unknown study '{study}': choose schedule")
    profile, rest = _profile(rest, STUDIES)

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[TrainConfig, tyro.conf.arg(name="")]] = STUDIES[profile],
        out: Path = Path("runs") / f"schedule-{profile}",
        resume: bool = True,
        results_dir: Path = Path("results"),
    ) -> None:
        """Trains twice from one seed, with the switch of Eq. 12 and with a constant weight; writes one results file.

        --profile smoke|laptop|gpu (first) sets the defaults below. Interrupted, it goes on where it stopped.

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


class _Bench(NamedTuple):
    """A benchmark of `handlib bench`."""

    run: Callable[..., dict]
    profiles: dict[str, Any]
    what: str  # is timed
    how: str


BENCHES = {
    "data": _Bench(
        bench_data,
        DATA_BENCHES,
        "the pictures of the benchmark",
        "Images a second on one thread, and on the GPU if there is one.",
    ),
    "hand": _Bench(
        bench_hand,
        HAND_BENCHES,
        "the hand model against smplx, MANO's own code",
        "Vertices forward, and with derivatives; on one thread, and on the GPU if there is one.",
    ),
    "renderer": _Bench(
        bench_renderer,
        RENDERER_BENCHES,
        "silhouettes and their gradients against pytorch3d's",
        "Milliseconds and memory, on one thread, and on the GPU if there is one; without pytorch3d, of ours alone.",
    ),
    "refinement": _Bench(
        bench_refinement,
        REFINEMENT_BENCHES,
        "fifty steps on h by gradients of a silhouette, against the same in plain torch",
        "On one thread, and on the GPU if there is one.",
    ),
    "training": _Bench(
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
        for name, bench in BENCHES.items():
            print(f"  {name:12} {bench.what}")
        return
    if name not in BENCHES:
        raise ValueError(f"unknown benchmark '{name}': choose one of {', '.join(BENCHES)}")
    bench = BENCHES[name]
    profile, arguments = _profile(arguments, bench.profiles)
    default = bench.profiles[profile]

    def run(
        config: tyro.conf.OmitArgPrefixes[Annotated[type(default), tyro.conf.arg(name="")]] = default,
        results_dir: Path = Path("results"),
    ) -> None:
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            print("wrote", results.write(bench.run(config, profile, device), results_dir))

    run.__doc__ = f"""Times {bench.what}, in turns; writes a results file.

        {bench.how} --profile smoke|laptop (first) sets the defaults below.

        Args:
            config: Every field of the profile, to override.
            results_dir: Folder that holds results files.
        """
    tyro.cli(run, prog=f"handlib bench {name}", args=arguments)


COMMANDS = {"predict": predict_command, "evaluate": evaluate_command, "reproduce": reproduce_command,
            "results": results_command, "info": info_command}  # fmt: skip
USAGE = """\
handlib: dense 3D hand pose from one RGB image, by neural rendering

usage: handlib COMMAND …        (handlib COMMAND --help says more)

  predict IMAGE…   meshes, joints and pictures of the hands in photographs and videos
  train            train a network on synthetic hands (--profile laptop: a few minutes on two cores)
  evaluate         measure a network on a split of the benchmark, or on real data; writes a results file
  ablate STUDY     train with and without a part of the method; writes a results file
  reproduce TABLE  the tables and figures of the paper, from training to verdict; goes on where it was interrupted
  data VERB        check a download of a real data set; render or show the benchmark
  bench NAME       time the hand model, the renderer, the refinement or training; writes a results file
  results ACTION   show the results files of a folder, or verify them
  info             versions, devices, what would be used
"""


def main() -> None:
    """Entry point of `handlib`. What the user can mend ends in one line on stderr and exit status 2."""
    for stream in (sys.stdout, sys.stderr):  # "\\u03b2" where a terminal has no β, instead of an error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    arguments = sys.argv[1:]
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return
    command, rest = arguments[0], arguments[1:]
    try:
        if command == "train":
            train_command(rest)
        elif command == "ablate":
            ablate_command(rest)
        elif command == "bench":
            bench_command(rest)
        elif command == "data":
            data_command(rest)
        elif command in COMMANDS:
            tyro.cli(COMMANDS[command], prog=f"handlib {command}", args=rest)
        else:
            known = ", ".join(("train", "ablate", "data", "bench", *COMMANDS))
            raise ValueError(f"unknown command '{command}': choose one of {known}")
    except (ValueError, OSError, ModuleNotFoundError, FloatingPointError) as error:
        sys.exit(_fail(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: Exception) -> int:
    print(f"handlib: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
