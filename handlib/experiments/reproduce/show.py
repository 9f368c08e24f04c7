"""Tables, figures and verdicts of results files, remade in seconds: no code that trains is imported."""

from pathlib import Path

from ...support.files import write_file
from .collection import Collection, read_collections
from .experiments import TABLES
from .figures import write_figures
from .tables import missing_runs, published_table, tables
from .verdict import verdict_table

ALL = tuple(TABLES)


def shown(folder: Path, names: tuple[str, ...] = ALL) -> str:
    """The tables of these names of every suite in a folder, and what is missing of each, as text."""
    parts = []
    for runs in read_collections(folder).values():
        parts += rendered(runs, names).values()
        if lines := missing_runs(runs):
            parts.append("Missing:\n" + "\n".join(f"- {line}" for line in lines))
    return "\n\n".join(parts) or f"no results in {folder} that may be shown: smoke runs are none"


def save_tables(out: Path) -> str:
    """Saves the tables and figures of each suite in out/results in out/tables/SUITE and out/figures/SUITE."""
    said = []
    for runs in read_collections(out / "results").values():
        folder, texts = out / "tables" / runs.suite, rendered(runs)
        for name, text in texts.items():
            write_file(folder / f"{name}.md", text + "\n")
        said.append(f"wrote {len(texts)} tables to {folder}")
        try:
            drawn = write_figures(runs, ALL, out / "figures" / runs.suite)
            said[-1] += f", {len(drawn)} figures to {out / 'figures' / runs.suite}"
        except ModuleNotFoundError:
            said[-1] += "; for the figures: pip install 'handlib[book]'"
    return "\n".join(said) or "no tables: smoke runs make none"


def rendered(runs: Collection, names: tuple[str, ...] = ALL) -> dict[str, str]:
    """Tables as markdown, by name."""
    texts = {name: table.markdown() for name, table in tables(runs, names).items()}
    if "results" in texts and runs.synthetic:
        texts["published"] = published_table().markdown()
    return texts | ({"verdict": verdict_table(runs).markdown()} if "verdict" in names else {})
