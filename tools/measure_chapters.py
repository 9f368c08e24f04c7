"""Runs every chapter at the laptop profile in its own process and writes results/chapters-laptop.json.

The boxes with time and memory in the chapters read that file. Run it with `.venv/bin/python tools/measure_chapters.py`.
"""

import subprocess
import sys
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient

from handlib.evaluation import results

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "laptop"


def run(chapter: Path) -> None:
    notebook = jupytext.read(chapter)
    NotebookClient(
        notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": ROOT / "book"}}
    ).execute()
    # The kernel is the only child of this process.
    print(results.peak_memory_mb(children=True))


def main() -> None:
    started, metrics = time.perf_counter(), []
    for chapter in sorted((ROOT / "book").glob("*.md")):
        if not chapter.read_text("utf-8").startswith("---\njupytext:"):
            continue
        clock = time.perf_counter()
        process = subprocess.run([sys.executable, __file__, str(chapter)], capture_output=True, text=True)
        if process.returncode:
            sys.exit(f"{chapter.name} failed:\n{process.stderr[-2000:]}")
        minutes = (time.perf_counter() - clock) / 60
        memory = float(process.stdout.splitlines()[-1])
        metrics.append(results.Metric(f"{chapter.stem}_minutes", round(minutes, 2), "minutes"))
        metrics.append(results.Metric(f"{chapter.stem}_peak_memory_mb", round(memory), "MB"))
        print(f"{chapter.stem:12} {minutes:6.2f} minutes {memory:7.0f} MB")
    record = results.record(
        "chapters-laptop",
        "what running each chapter of the book costs",
        metrics,
        profile=PROFILE,
        config={},
        data={},
        hand={},
        started=started,
        command="python tools/measure_chapters.py",
    )
    print("wrote", results.write(record, ROOT / "results"))


if __name__ == "__main__":
    run(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
