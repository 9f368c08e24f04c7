"""`handlib reproduce TABLE|all|show`: Snakemake does the runs, then the tables and figures of all that is there."""

import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import tyro

from ..experiments.reproduce import show
from ..support.arguments import at_least
from ..support.files import write_json
from ..support.locks import Busy, alone_in

RULES = Path(show.__file__).with_name("rules.smk")


def reproduce_command(
    table: tyro.conf.Positional[str],
    /,
    profile: Literal["smoke", "laptop", "workstation", "gpu", "paper"] = "laptop",
    data: str = "",
    posenet: str = "",
    hand: str = "openhand",
    fingertips: str = "smplx",
    backgrounds: str = "",
    photographs: str = "",
    only: tuple[str, ...] = (),
    seeds: int = 0,
    cores: int = 1,
    dry_run: bool = False,
    engine: str = "",
    out: Path = Path("runs") / "reproduce",
) -> None:
    """Trains and measures what the paper's tables need, then makes them, from results files alone.

    TABLE: all, results, ablations, cached, schedule, iterations, segmentation, joints, tones, mesh, cost, verdict; or
    show, which runs nothing and shows the tables of what is there. It resumes after an interruption. A run that fails
    does not stop those that do not need it. Snakemake does the runs (pip install 'handlib[reproduce]'); on a cluster:
    --engine '--executor slurm --jobs 20', with its plugin for the cluster.

    Args:
        table: all, the name of a table, or show.
        profile: How large the experiments are; laptop and workstation are for two cores.
        data: Real data sets to train and test on, rhd:PATH,stb:PATH,do:PATH; by default the open benchmark.
        posenet: Published weights that the full J2D starts from; the error for a missing file says where to get them.
        hand: The hand model: openhand, or a file such as MANO_RIGHT.pkl; the study on cached evidence is of openhand.
        fingertips: Which vertices stand for the tips: smplx, freihand, manopth or paper; that study is of smplx.
        backgrounds: nyu:FILE or pictures:FOLDER to put behind training hands; by default built-in photographs.
        photographs: Folder of photographs with known joints (PhotoFolder), to measure the networks that learn
            from cached evidence on; the results are a suite of their own.
        only: Names of the experiments to run; all by default.
        seeds: How many seeds, for a claim that more of them would decide; by default the profile's.
        cores: How many runs at once, each in one thread.
        dry_run: Only print the plan.
        engine: More options for Snakemake.
        out: Folder of the runs; with show, any folder of results files will do.
    """
    if table == "show":
        print(show.shown(out))
        return
    at_least(1, **{"--cores": cores})
    at_least(0, 1000, **{"--seeds": seeds})
    if find_spec("snakemake") is None:
        raise ModuleNotFoundError("Snakemake is not installed: pip install 'handlib[reproduce]' (Python 3.11 or newer)")
    from ..experiments.reproduce.suite import suite_of  # late: show needs nothing that trains

    names = ("profile", "data", "posenet", "hand", "fingertips", "backgrounds", "photographs", "only", "seeds")
    given = locals()
    options = {"table": table, "out": str(out.absolute()), **{name: given[name] for name in names}}
    suite = suite_of(options)
    suite.check_files()
    try:
        with alone_in(suite.out):  # one Snakemake a suite: its own lock would outlive one that is killed
            suite.claim_folder(keep=not dry_run)
            file = write_json(suite.out / "options.json", options)
            # Runs use the handlib that started them, wherever it lies, in one thread each.
            path = os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
            environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
            done = subprocess.run(_command(file, cores, dry_run, engine), env=environment)
    except Busy as busy:
        raise ValueError(f"{busy}: wait for it, or choose another --out") from None
    if not dry_run and any(suite.results.glob("*.json")):
        print("\n" + show.shown(suite.results, show.ALL if table in ("all", "verdict") else (table,)))
    if done.returncode:
        sys.exit(done.returncode)


def _command(options: Path, cores: int, dry_run: bool, engine: str) -> list[str]:
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(RULES), "--configfile", str(options)]
    words += ["--directory", str(options.parent), "--cores", str(cores), "--rerun-triggers", "mtime", "--nolock"]
    words += ["--keep-going", "--rerun-incomplete", "--quiet", "rules" if dry_run else "progress"]
    if "--executor" not in engine:  # Snakemake 9.10 to 9.15 frees cores twice, but not what rules name themselves
        words += ["--resources", f"runs={cores}"]
    return words + (["--dry-run"] if dry_run else []) + shlex.split(engine)
