import os

from handlib.data.sample import at_most_useful


def test_no_more_workers_than_are_of_use(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert [at_most_useful(n) for n in (0, 1, 8, 9, 1000)] == [0, 1, 8, 8, 8]
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # as where nobody can tell
    assert at_most_useful(1000) == 4
