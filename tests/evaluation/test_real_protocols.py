"""Scores on real data sets in their original layouts: the truth scores best, a known error scores its arithmetic."""

import numpy as np
import pytest
import torch
from miniatures import write_do, write_freihand, write_ho3d, write_interhand, write_rhd, write_stb

from handlib.data import open_spec
from handlib.data.crop import recropped
from handlib.evaluation.evaluate import compared, depth_of_root, predictions, scores
from handlib.evaluation.protocols import OWN_PROTOCOLS, PROTOCOLS
from handlib.experiments import baselines
from handlib.hand.joints import C21, MIDDLE_MCP
from handlib.training.feed import in_memory, open_data
from handlib.training.profiles import preset

WRITERS = {
    "rhd": lambda root, hand: write_rhd(root, hand, ("evaluation",)),
    "stb": write_stb,
    "do": write_do,
    "freihand": lambda root, hand: write_freihand(root, hand, 2, versions=1),
    "ho3d": write_ho3d,
    "interhand": lambda root, hand: write_interhand(root, hand, splits=("test",)),
}


@pytest.fixture(scope="module")
def held(hand, tmp_path_factory):
    """The test set of each kind as `handlib evaluate --data KIND:PATH` reads it."""
    found = {}
    for kind, write in WRITERS.items():
        root = tmp_path_factory.mktemp(kind)
        write(root, hand)
        found[kind] = in_memory([open_spec(f"{kind}:{root}", "test", 32)], 0, None, progress=False)
    return found


@pytest.fixture(scope="module")
def true_wrists(hand):
    """The wrists of the hands that STB's miniature palms were made of, as its samples are: mirrored."""
    from miniatures import STB_SEQUENCES, hands

    numbers = [STB_SEQUENCES.index(name) for name in ("B1Counting", "B1Random")]
    wrists = [hands(hand, 2, 30 + number, 0.5).left().joints[:, 0] for number in numbers]
    both = [w - shift for w in wrists for shift in (0, np.array([0.120054, 0, 0]))]
    return torch.from_numpy(np.concatenate(both) * [-1.0, 1, 1]).float()


def measured(held, kind, predicted) -> dict[str, float]:
    batch = held[kind].batch(torch.arange(len(held[kind])))
    found = compared(batch, predicted, scored=held[kind].scored, palm=held[kind].palm)
    joints = found["joints_cam"], found["truth_cam"], found["visible"]
    own = [metric for name in OWN_PROTOCOLS[kind] for metric in PROTOCOLS[name].scores(*joints)]
    return scores(found) | {metric.name: metric.value for metric in own}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_truth_scores_best(held, true_wrists, kind):
    """What a hand model answers: joint 0 is a wrist, in every data set."""
    truth = held[kind].batch(torch.arange(len(held[kind])))["joints_cam"].clone()
    if kind == "stb":
        truth[:, 0] = true_wrists
    values = measured(held, kind, truth)
    assert any("_auc_" in name for name in values)
    for name, value in values.items():
        assert value == pytest.approx(1.0 if "_auc_" in name else 0.0, abs=2e-3), name


@pytest.mark.parametrize("kind", ["rhd", "stb"])
def test_a_wrist_that_is_off_by_30_mm(held, kind):
    """Its palm is half way to a knuckle, and so off by 15 mm; nothing else is."""
    data = held[kind]
    predicted = data.batch(torch.arange(len(data)))["joints_cam"].clone()
    predicted[:, C21.index("wrist"), 0] += 0.03
    assert measured(held, kind, predicted)["joints_root_mean_mm"] == pytest.approx(15 / 21, abs=1e-3)


@pytest.mark.parametrize("kind", ["rhd", "stb"])
def test_a_finger_that_is_off_by_30_mm(held, kind):
    """20 thresholds from 20 to 50 mm: of one joint in 21 half of the curve's steps and half of that at the edge."""
    data = held[kind]
    batch = data.batch(torch.arange(len(data)))
    batch["visible"] |= True
    predicted = batch["joints_cam"].clone()
    predicted[:, 20, 2] += 0.03
    found = scores(compared(batch, predicted, palm=data.palm))
    thresholds = [20 + 30 * i / 19 for i in range(20)]
    area = sum((b - a) * ((a >= 30) + (b >= 30)) / 2 for a, b in zip(thresholds, thresholds[1:], strict=False)) / 30
    assert found["joints_root_auc_20_50_mm"] == pytest.approx((20 + area) / 21, abs=1e-4)
    assert found["joints_root_mean_mm"] == pytest.approx(30 / 21, abs=1e-3)


def test_a_palm_is_seen_where_its_wrist_or_its_knuckle_is(held):
    data = held["rhd"]
    batch = data.batch(torch.arange(len(data)))
    found = compared(batch, batch["joints_cam"], palm=data.palm)
    assert torch.equal(found["visible"][:, 0], batch["visible"][:, [0, MIDDLE_MCP]].any(1))
    assert torch.equal(found["visible"][:, 1:], batch["visible"][:, 1:])


@pytest.mark.parametrize(("kind", "rule"), [("rhd", "half"), ("stb", "ring")])
def test_a_palm_is_not_what_a_model_is_compared_with(hand, tmp_path, kind, rule):
    WRITERS[kind](tmp_path, hand)
    assert open_spec(f"{kind}:{tmp_path}").palm == rule
    data = open_spec(f"{kind},joint0=palm:{tmp_path}")
    assert data.palm == ""
    with pytest.raises(ValueError, match="its joint 0 is the palm, .* remove joint0=palm"):
        in_memory([data], 0, None, progress=False)


def test_dexter_object_is_looked_at_twice(held, trained):
    """As if its hands had been cut around the joints of a first look, by the network and by any method alike."""
    data = held["do"]
    assert data.passes == data.first(2).passes == 2 and held["rhd"].passes == 1
    batch, model = data.batch(torch.arange(2)), trained.model
    with torch.no_grad():
        again = recropped(batch, model(batch["image"]).joints_2d)
        wanted = model(again["image"]).in_camera(again["K"], depth_of_root(again["joints_cam"])).joints
    for found in (
        predictions(model, data.first(2), progress=False),
        baselines.predictions(baselines.DHPEMethod(model), data.first(2), progress=False),
    ):
        torch.testing.assert_close(found["joints_cam"], wanted, rtol=1e-3, atol=1e-4)


def test_crops_of_training_hands_alone_are_jittered(hand, tmp_path):
    write_rhd(tmp_path, hand)
    spec = f"rhd,hold=0.4:{tmp_path}"
    sets = [open_data([spec], split, 32, hand, crop_jitter=0.2)[0] for split in ("train", "val")]
    assert [data.rule.jitter for data in sets] == [0.2, 0.0] and preset("paper").crop_jitter > 0
