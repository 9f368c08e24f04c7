"""book/chapter.py, which every page of the book imports."""

import os
import subprocess
import sys
import time
from pathlib import Path

import plotly.io as pio
import pytest

from handlib.evaluation import results
from handlib.evaluation.results import Metric
from handlib.viz.plots import mesh_figure

BOOK = Path(__file__).resolve().parents[2] / "book"


@pytest.fixture
def chapter(monkeypatch):
    monkeypatch.syspath_prepend(str(BOOK))
    import chapter

    return chapter


def test_a_chapter_says_what_it_cost_or_that_nobody_measured(chapter, tmp_path):
    assert chapter.chapter_cost(tmp_path, "hand").startswith("The cost of this chapter was not measured")
    costs = [Metric("hand_minutes", 1.25, "minutes"), Metric("hand_peak_memory_mb", 700, "MB")]
    hand = {"name": "openhand", "fingertips": "smplx"}
    record = results.record(
        "chapters-laptop", "costs", costs, profile="laptop", config={}, data={}, hand=hand, started=time.perf_counter()
    )
    results.write(record, tmp_path)
    assert "1.2 min and 0.7 GB" in chapter.chapter_cost(tmp_path, "hand")
    assert chapter.chapter_cost(tmp_path, "evidence").startswith("The cost of this chapter was not measured")


def test_a_figure_leaves_plotly_to_the_page(chapter, hand):
    figure = mesh_figure(hand.template, hand.faces)
    html = pio.renderers["page"].to_mimebundle(figure.to_dict())["text/html"]
    assert "Plotly.newPlot" in html and "<html" not in html
    assert "cdn" not in html and len(html) < 500_000  # plotly.js itself has 4 MB


@pytest.mark.parametrize("built", [True, False])
def test_the_build_chooses_the_renderer(built):
    code = "import chapter, plotly.io as pio; print(pio.renderers.default == 'page')"
    environment = {key: text for key, text in os.environ.items() if key != "HANDBOOK"}
    environment |= {"HANDBOOK": "1"} if built else {}
    environment["PYTHONPATH"] = os.pathsep.join([str(BOOK), *sys.path])
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(built)
