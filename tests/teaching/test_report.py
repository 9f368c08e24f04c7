import pytest

from handlib.teaching import NotYet, check
from handlib.teaching.report import report


@pytest.mark.parametrize(
    "change, said",
    [
        ({"claim": "better"}, "claim"),
        ({"rule": {"written": "2026-02-01T10:00", "text": "t"}}, "before|first"),
        ({"started": "tomorrow"}, "2026-01-31T10:00"),
        ({"seeds": [0, 0, 1]}, "seeds"),
        ({"seeds": 3}, "seeds: a list"),
        ({"with": [0.6, 0.6]}, "one finite score"),
        ({"mean": "about 0.02"}, "mean: a number"),
        ({"mean": 0.5}, "0.02133"),
        ({"verdict": "undecided"}, "'holds'"),
        ({"higher_is_better": False}, "contradicted"),
        ({"higher_is_better": "false"}, "higher_is_better: True or False"),
    ],
)
def test_a_report_whose_parts_do_not_belong_together_is_told(change, said):
    with pytest.raises(NotYet, match=said):
        check("A6.1", report() | change)
