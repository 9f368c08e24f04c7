"""Runs every chapter at the laptop profile in its own process and writes results/chapters-laptop.json.

The boxes with time and memory in the chapters read that file. Time is that of the processor, all cores together, so
what else the machine does hardly counts. Run it with `.venv/bin/python tools/measure_chapters.py`.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient

from handlib.evaluation import results

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "laptop"


def chapters() -> list[Path]:
    sources = sorted((ROOT / "book").glob("*.md"))
    return [path for path in sources if path.read_text("utf-8").startswith("---\njupytext:")]


def run(chapter: Path) -> None:
    """Executes a chapter and prints the minutes and the megabytes of its kernel, the only child of this process."""
    client = NotebookClient(
        jupytext.read(chapter), timeout=3600, kernel_name="python3", resources={"metadata": {"path": ROOT / "book"}}
    )
    client.execute()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print((used.ru_utime + used.ru_stime) / 60, results.peak_memory_mb(children=True))


def write(measured: dict[str, tuple[float, float]], started: float) -> Path:
    """Writes (minutes, megabytes) by chapter."""
    metrics = []
    for name, (minutes, memory) in measured.items():
        metrics.append(results.Metric(f"{name}_minutes", round(minutes, 2), "minutes"))
        metrics.append(results.Metric(f"{name}_peak_memory_mb", round(memory), "MB"))
    record = results.record(
        "chapters-laptop",
        "what running each chapter of the book costs, in processor time",
        metrics,
        profile=PROFILE,
        config={},
        data={},
        hand={},
        started=started,
        command="python tools/measure_chapters.py",
    )
    return results.write(record, ROOT / "results")


def main() -> None:
    started, measured = time.perf_counter(), {}
    for chapter in chapters():
        process = subprocess.run([sys.executable, __file__, str(chapter)], capture_output=True, text=True)
        if process.returncode:
            sys.exit(f"{chapter.name} failed:\n{process.stderr[-2000:]}")
        minutes, memory = map(float, process.stdout.splitlines()[-1].split())
        measured[chapter.stem] = minutes, memory
        print(f"{chapter.stem:12} {minutes:6.2f} minutes {memory:7.0f} MB", flush=True)
    print("wrote", write(measured, started))


if __name__ == "__main__":
    run(Path(sys.argv[1])) if len(sys.argv) > 1 else main()
