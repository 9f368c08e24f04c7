"""book/chapter.py, which every page of the book imports."""

import time
from pathlib import Path

import pytest

from handlib.evaluation import results
from handlib.evaluation.results import Metric

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
