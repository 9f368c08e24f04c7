import pytest

from handlib.experiments.published import (
    AUC,
    CRITERIA,
    DATA,
    MARK,
    MISSING,
    OURS,
    RHD_CURVE,
    SEGMENTATION,
    SEGMENTERS,
    find,
)


def test_every_method_has_a_cell_for_every_set():
    for method in {entry.method for entry in AUC}:
        cells = [e.data for e in AUC if e.method == method and (e.low, e.high) == (20, 50)]
        assert sorted(cells) == sorted(DATA), method


@pytest.mark.parametrize("entry", (*AUC, *SEGMENTATION), ids=lambda e: f"{e.method} {e.data} {e.metric}")
def test_entries(entry):
    assert entry.source and entry.data in DATA
    assert entry.value is None or 0 < entry.value < 1
    if entry.value is None:
        assert entry.text == MISSING
    else:
        assert MARK in entry.text and f"{entry.value:.3f}" in entry.text
        assert ("mm" in entry.text) == ((entry.low, entry.high) != (20, 50)), "another range is always said"


def test_nothing_stands_twice():
    keys = [(e.method, e.data, e.metric, e.low, e.high) for e in (*AUC, *SEGMENTATION)]
    assert len(set(keys)) == len(keys)


def test_what_could_not_be_found_stays_empty():
    """The paper's Table 2."""
    assert len(SEGMENTATION) == len(SEGMENTERS) * len(CRITERIA)
    assert all(entry.value is None for entry in SEGMENTATION)


def test_curve_agrees_with_its_area():
    """Read off a plot, so to within half a hundredth."""
    threshold, pck = RHD_CURVE["threshold_mm"], RHD_CURVE["pck"]
    steps = zip(threshold[:-1], threshold[1:], pck[:-1], pck[1:], strict=True)
    area = sum((b - a) * (x + y) / 2 for a, b, x, y in steps) / (threshold[-1] - threshold[0])
    assert area == pytest.approx(find(OURS, "RHD").value, abs=0.01)


def test_find():
    assert find("Iqbal et al. 2018", "DO").value == 0.672
    with pytest.raises(KeyError, match="no published AUC of nobody on RHD is listed"):
        find("nobody", "RHD")
