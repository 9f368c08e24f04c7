import io
import json

import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from handlib.training.curves import curve, live_curve  # noqa: E402

ROWS = [
    {"epoch": 1, "step": 2, "loss": 4.0}, {"epoch": 1, "step": 4, "loss": 3.0},
    {"epoch": 1, "loss": 3.5, "heatmap": 0.2, "val_joints_root_mean_mm": 40.0, "val_mean_iou": 0.6},
    {"epoch": 2, "step": 2, "loss": 2.0},
]  # fmt: skip


@pytest.fixture
def run(tmp_path):
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def test_curve_shows_the_log(run):
    left, error, _ = curve(run, ("loss", "heatmap")).axes
    within, epochs, none, heatmap = left.lines
    assert within.get_xydata().tolist() == [[0.5, 4.0], [1.0, 3.0], [2.0, 2.0]]
    assert epochs.get_xydata().tolist() == [[1.0, 3.5]] and heatmap.get_xydata().tolist() == [[1.0, 0.2]]
    assert not len(none.get_xdata())
    assert error.lines[0].get_xydata().tolist() == [[1.0, 40.0]]


def test_curve_can_be_drawn(run):
    file = io.BytesIO()
    curve(run).savefig(file, format="png")
    assert len(Image.open(file).convert("RGB").getcolors(1 << 20)) > 10


def test_curve_of_a_run_that_has_just_begun(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    curve(tmp_path).savefig(io.BytesIO(), format="png")


def test_live_curve_replaces_itself(run, monkeypatch):
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(("again", len(figure.axes[1].lines[0].get_xdata())))

    def display(figure, display_id):
        shown.append(("first", len(figure.axes[1].lines[0].get_xdata())))
        return Handle()

    monkeypatch.setattr("IPython.display.display", display)
    draw = live_curve(run)
    draw()
    with open(run / "log.jsonl", "a") as log:
        log.write(json.dumps(ROWS[2] | {"epoch": 2}) + "\n")
    draw()
    assert shown == [("first", 1), ("again", 2)]
