"""The scores of each hand by which methods are compared."""

import torch

from handlib.experiments.reproduce.measure import errors_of
from handlib.hand.joints import TIPS


def frames_of_tips(tips: list[list[int]]) -> dict[str, torch.Tensor]:
    """Samples of frames with these tips annotated and no root, as those of Dexter+Object are."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.full((len(tips), 21, 3), torch.nan)
    for row, seen in enumerate(tips):
        truth[row, seen] = torch.rand(len(seen), 3, generator=generator)
    none = torch.full((len(tips), 21), torch.nan)
    return {
        "joints_mm": none, "joints_pa_mm": none, "visible": truth.isfinite().all(-1), "truth_cam": truth,
        "joints_cam": torch.rand(len(tips), 21, 3, generator=generator),
        "refinement_mm": torch.full((len(tips), 5), torch.nan),
    }  # fmt: skip


def test_without_a_root_there_is_no_error_half_way():
    """Not even where every frame counts, or it would be compared with one of other frames or of no hand."""
    assert "half_mm" not in errors_of(frames_of_tips([list(TIPS)] * 3), "do")
    rooted = frames_of_tips([list(TIPS)]) | {"refinement_mm": torch.tensor([[3.0, 2.0, 1.0]])}
    assert errors_of(rooted)["half_mm"].tolist() == [2]


def test_tips_that_do_not_count_are_no_errors_of_zero():
    three, samples = list(TIPS[:3]), frames_of_tips([list(TIPS[:3]), list(TIPS[:1])])
    errors = errors_of(samples, "do")
    x, y = (samples[name][0, three].double() for name in ("joints_cam", "truth_cam"))
    x, y = x - x.mean(0), y - y.mean(0)
    x = x * y.norm(dim=1).mean() / x.norm(dim=1).mean()
    torch.testing.assert_close(errors["root_mm"].double(), 1000 * (x - y).norm(dim=1).mean()[None], rtol=1e-3, atol=0)
