"""`handlib reproduce TABLE|all|show`: the plan, the runs, then the tables and figures of all that is there."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import tyro

from ..data.cache import CACHE
from ..experiments.reproduce.collection import Collection, read_collections
from ..experiments.reproduce.equipment import Equipment
from ..experiments.reproduce.experiments import TABLES
from ..experiments.reproduce.figures import write_figures
from ..experiments.reproduce.hands import parse_data
from ..experiments.reproduce.plan import make_plan
from ..experiments.reproduce.run import Runner, launched_share, speed
from ..experiments.reproduce.tables import missing_runs, published_table, tables
from ..experiments.reproduce.verdict import verdict_table
from ..support.files import atomic_path

Profile = Literal["smoke", "laptop", "gpu", "paper"]


def reproduce_command(
    table: tyro.conf.Positional[str],
    /,
    profile: Profile = "laptop",
    data: str = "",
    posenet: str = "",
    hand: str = "openhand",
    fingertips: str = "smplx",
    backgrounds: str = "",
    only: tuple[str, ...] = (),
    shard: str = "",
    resume: bool = True,
    dry_run: bool = False,
    out: Path = Path("runs") / "reproduce",
) -> None:
    """Trains and measures what the paper's tables need, then makes them, from results files alone.

    TABLE: all, results, ablations, schedule, iterations, segmentation, joints, tones, mesh, cost, verdict; or show,
    which runs nothing and shows the tables of what is there. Interrupted, run it again: it goes on where it stopped.

    In several processes: start the same command several times on one disk, and they divide the work. With several GPUs:
    torchrun --nproc_per_node N -m handlib.cli reproduce all …, which gives each process a share and a GPU. On machines
    without a common disk: --shard 1/3 … 3/3, then bring the folders OUT/*/results together.

    Args:
        table: all, the name of a table, or show.
        profile: How large it all is; laptop is for two cores; the plan says how long it will take.
        data: Real data sets to train and test on, rhd:PATH,stb:PATH,do:PATH; by default the open benchmark.
        posenet: Published weights that the full J2D starts from; see the error message for where to get them.
        hand: The hand model: openhand, or a file such as MANO_RIGHT.pkl.
        fingertips: Which vertices stand for the tips: smplx, freihand, manopth or paper.
        backgrounds: nyu:FILE or pictures:FOLDER to put behind training hands; by default built-in photographs.
        only: Names of experiments, to run no others.
        shard: i/n, to run the i-th of n shares alone.
        resume: Go on with what is in OUT; --no-resume makes anew whatever is older than its start.
        dry_run: Print the plan alone.
        out: Folder of the runs; with show, any folder of results files will do, too.
    """
    if table == "show":
        print(shown(out, tuple(TABLES)))
        return
    share = launched_share()  # before anything looks for a GPU
    if share and shard:
        raise ValueError("--shard is for processes that are started one by one; torchrun gives out the shares itself")
    equipment = Equipment(posenet, hand, fingertips, backgrounds)
    plan = make_plan(table, profile, parse_data(data), out, only, shard or share, equipment)
    plan = replace(plan, resume=resume)
    print(plan.text(*speed(plan)), flush=True)
    if dry_run:
        return
    try:
        Runner(plan, CACHE, resume)()
    finally:
        if any(plan.results.glob("*.json")):
            names = tuple(TABLES) if table in ("all", "verdict") else (table,)
            print("\n" + shown(plan.out / "results", names, plan.out))


def shown(folder: Path, names: tuple[str, ...], out: Path | None = None) -> str:
    """The tables of these names of every suite in a folder, as text; with `out` they and the figures are saved there.

    `FileNotFoundError` where there is no results file at all.
    """
    collections = read_collections(folder)
    if not collections:
        return f"no results in {folder} that may be shown: smoke runs are none"
    parts = []
    for runs in collections.values():
        texts = rendered(runs, names)
        parts += texts.values()
        if lines := missing_runs(runs):
            parts.append("Missing:\n" + "\n".join(f"- {line}" for line in lines))
        if out is not None:
            parts.append(_save(runs, texts, names, out))
    return "\n\n".join(parts)


def rendered(runs: Collection, names: tuple[str, ...]) -> dict[str, str]:
    """Tables as markdown, by name."""
    texts = {name: table.markdown() for name, table in tables(runs, names).items()}
    if "results" in texts and runs.synthetic:
        texts["published"] = published_table().markdown()
    return texts | ({"verdict": verdict_table(runs).markdown()} if "verdict" in names else {})


def _save(runs: Collection, texts: dict[str, str], names: tuple[str, ...], out: Path) -> str:
    for name, text in texts.items():
        with atomic_path(out / "tables" / f"{name}.md") as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    try:
        drawn = write_figures(runs, names, out / "figures")
    except ModuleNotFoundError:
        return f"wrote {len(texts)} tables to {out / 'tables'}; for the figures: pip install 'handlib[book]'"
    return f"wrote {len(texts)} tables to {out / 'tables'}, {len(drawn)} figures to {out / 'figures'}"
