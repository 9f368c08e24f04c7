"""What `handlib predict` writes: readable by others, whole, and safe to show."""

import json
import re

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from handlib.photo.arrays import read_hands
from handlib.photo.estimate import HandEstimate
from handlib.photo.files import write_prediction
from handlib.photo.gallery import Gallery
from handlib.photo.read import read_photo


@pytest.fixture(scope="module")
def hands(hand) -> list[HandEstimate]:
    """A right and a left hand half a meter away."""
    K = torch.tensor([[500.0, 0, 160], [0, 500, 120], [0, 0, 1]])
    estimates = []
    for side, x in (("right", 0.1), ("left", -0.1)):
        pose, shape = hand.mean_pose, torch.zeros(10)
        rotation, shift = torch.diag(torch.tensor([1.0, -1, -1])), torch.tensor([abs(x), 0.0, 0.5])
        vertices = hand(pose, shape).vertices @ rotation.T + shift
        if side == "left":
            vertices = vertices * torch.tensor([-1.0, 1, 1])
        h = torch.cat([pose, shape, torch.tensor([1.0, 0, 0, 0, 0.7, 0, 0, 0])])
        estimates.append(
            HandEstimate(
                side=side, score=0.9, confidence=torch.full((21,), 0.8), vertices_cam=vertices,
                joints_cam=hand.regress_joints(vertices), K=K, K_assumed=True, h=h, placement=(rotation, shift),
                hand=hand,
            )
        )  # fmt: skip
    return estimates


@pytest.fixture(scope="module")
def photo():
    return read_photo(torch.full((3, 240, 320), 90, dtype=torch.uint8))


def test_a_prediction_is_numbers_a_mesh_and_an_overlay(hands, photo, tmp_path):
    written = write_prediction(photo, hands, tmp_path / "a", ".ply")
    assert [path.name for path in written.paths] == ["a.json", "a_overlay.jpg", "a.ply"]
    described = json.loads((tmp_path / "a.json").read_text())
    assert described["image_size"] == [320, 240] and described["camera"]["assumed"] is True
    assert [one["side"] for one in described["hands"]] == ["right", "left"]
    np.testing.assert_allclose(described["hands"][1]["joints_cam_m"], hands[1].joints_cam, atol=1e-5)
    assert len(trimesh.load(tmp_path / "a.ply", process=False).vertices) == 2 * 778
    changed = np.asarray(Image.open(tmp_path / "a_overlay.jpg")).astype(int)
    assert (abs(changed - 90).max(-1) > 20).mean() > 0.05


def test_without_a_hand_the_list_is_empty(photo, tmp_path):
    written = write_prediction(photo, [], tmp_path / "none")
    assert [path.name for path in written.paths] == ["none.json", "none_overlay.jpg"]
    described = json.loads((tmp_path / "none.json").read_text())
    assert described["hands"] == [] and described["camera"]["assumed"] is True
    write_prediction(photo, [], tmp_path / "given", focal=500.0)
    camera = json.loads((tmp_path / "given.json").read_text())["camera"]
    assert camera == {"K": [[500, 0, 160], [0, 500, 120], [0, 0, 1]], "assumed": False}


def test_a_mesh_of_an_earlier_run_does_not_outlive_its_hand(hands, photo, tmp_path):
    write_prediction(photo, hands, tmp_path / "a")
    write_prediction(photo, [], tmp_path / "a")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a_overlay.jpg"]


def test_a_large_photograph_has_a_smaller_overlay_in_the_right_place(hands, tmp_path):
    photo = read_photo(torch.full((3, 2400, 3200), 90, dtype=torch.uint8))
    large = [
        HandEstimate(**{**{name: getattr(one, name) for name in one.__dataclass_fields__}, "K": scaled(one.K, 10)})
        for one in hands
    ]
    write_prediction(photo, large, tmp_path / "large")
    write_prediction(read_photo(torch.full((3, 240, 320), 90, dtype=torch.uint8)), hands, tmp_path / "small")
    overlay, small = (Image.open(tmp_path / f"{name}_overlay.jpg") for name in ("large", "small"))
    assert max(overlay.size) == 1600
    masks = [np.abs(np.asarray(one.resize((320, 240))).astype(int) - 90).max(-1) > 20 for one in (overlay, small)]
    assert (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum() > 0.85


def scaled(K: torch.Tensor, factor: float) -> torch.Tensor:
    return torch.diag(torch.tensor([factor, factor, 1.0])) @ K


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb", ".stl"])
def test_one_hand_saves_itself_as_a_mesh(hands, tmp_path, suffix):
    path = hands[1].save(tmp_path / f"hand{suffix}")
    mesh = trimesh.load(path, force="mesh")
    unit = 1000 if suffix == ".stl" else 1  # slicers count millimeters
    span = (hands[1].vertices_cam.amax(0) - hands[1].vertices_cam.amin(0)).numpy()
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0) / unit, span, atol=1e-4)


def test_numbers_come_back(hands, tmp_path):
    for hand, right in zip(hands, (True, False), strict=True):
        rows = read_hands(hand.save(tmp_path / "hand.npz"))
        assert rows["is_rhand"].tolist() == [right]
        np.testing.assert_allclose(rows["joints_cam_m"][0], hand.joints_cam, atol=1e-6)
    (one,) = json.loads(hands[0].save(tmp_path / "hand.json").read_text())
    assert one["side"] == "right" and len(one["mano"]["betas"]) == 10
    with pytest.raises(ValueError, match="hand.txt"):
        hands[0].save(tmp_path / "hand.txt")


def test_the_page_shows_every_photograph_and_trusts_no_name(hands, photo, tmp_path):
    written = [write_prediction(photo, some, tmp_path / name) for name, some in (("a&b", hands), ("c", []))]
    text = Gallery([one.shown for one in written]).save(tmp_path / "index.html").read_text()
    assert "<h2>a&amp;b</h2><p>right hand (score 0.90), left hand (score 0.90)</p>" in text
    assert "<h2>c</h2><p>no hand found</p>" in text
    pictures = re.findall(r"<img [^>]*>", text)
    assert [re.search('alt="(.*)"', picture)[1] for picture in pictures] == [
        "a&amp;b: right hand and left hand",
        "c: no hand",
    ]
    assert not any(isinstance(part, Image.Image) for one in written for part in one.shown)  # memory for thousands
    assert 'lang="en"' in text and "http" not in text.split("<style>")[1].split("</style>")[0]
