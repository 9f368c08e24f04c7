import json

import numpy as np
import pytest
import torch
from miniatures import OPENGL, hands, write_freihand, write_ho3d

from handlib.data import HO3D, FreiHAND
from handlib.evaluation.submissions import SERVERS, write_submission
from handlib.hand.joints import C21, MANO21

N = 3


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Servers that take three hands."""
    for name, server in SERVERS.items():
        monkeypatch.setitem(SERVERS, name, server._replace(hands=N))


@pytest.fixture(scope="module")
def estimates(hand):
    found = hands(hand, N, 7)
    return torch.from_numpy(found.joints).float(), torch.from_numpy(found.vertices).float()


def test_freihand_takes_ours_as_they_are(estimates, tmp_path):
    path = write_submission(tmp_path / "out" / "pred.json", "freihand", *estimates)
    assert [p.name for p in path.parent.iterdir()] == ["pred.json"]
    xyz, verts = json.loads(path.read_text())
    np.testing.assert_allclose(xyz, estimates[0], atol=1e-6)
    np.testing.assert_allclose(verts, estimates[1], atol=1e-6)


@pytest.mark.parametrize("server", ["ho3d_v2", "ho3d_v3"])
def test_ho3d_takes_manos_order_in_opengl(estimates, tmp_path, server):
    xyz, verts = json.loads(write_submission(tmp_path / "pred.json", server, *estimates).read_text())
    np.testing.assert_allclose(verts, estimates[1].numpy() * OPENGL, atol=1e-6)
    for row, name in enumerate(MANO21.joints):
        np.testing.assert_allclose(np.array(xyz)[:, row], estimates[0][:, C21.index(name)].numpy() * OPENGL, atol=1e-6)
    assert (np.array(xyz)[..., 2] < 0).all()  # in front of OpenGL's camera


@pytest.mark.parametrize(
    "server, write, reader", [("freihand", write_freihand, FreiHAND), ("ho3d_v3", write_ho3d, HO3D)]
)
def test_the_truth_of_a_reader_is_what_the_server_has(hand, tmp_path, server, write, reader):
    """Read with our reader and written for the server, the truth is the file of truth that the server compares with."""
    write(tmp_path, hand)
    samples = list(reader(tmp_path, "test", size=16, vertices=True))
    points = [torch.stack([getattr(s, name) for s in samples]) for name in ("joints_cam", "vertices_cam")]
    written = json.loads(write_submission(tmp_path / "pred.json", server, *points).read_text())
    for what, found in zip(("xyz", "verts"), written, strict=True):
        np.testing.assert_allclose(found, json.loads((tmp_path / f"evaluation_{what}.json").read_text()), atol=2e-6)


def test_what_cannot_be_submitted(estimates, tmp_path):
    joints, vertices = estimates
    lost, behind = joints.clone(), vertices * torch.tensor([1.0, 1, -1])
    lost[1, 4, 2] = torch.nan
    wrong = {
        r"joints_cam has shape \(2, 21, 3\), expected \(3, 21, 3\): every hand": ("freihand", joints[:2], vertices),
        r"vertices_cam has shape \(3, 777, 3\)": ("freihand", joints, vertices[:, 1:]),
        "joints_cam of hand 1 is not finite": ("freihand", lost, vertices),
        "vertices_cam of hand 0 is behind the camera": ("ho3d_v2", joints, behind),
        "unknown server 'stb': choose one of freihand": ("stb", joints, vertices),
    }
    for message, arguments in wrong.items():
        with pytest.raises(ValueError, match=message):
            write_submission(tmp_path / "pred.json", *arguments)
    assert not (tmp_path / "pred.json").exists()
    write_submission(tmp_path / "pred.json", "freihand", joints - joints[:, :1], behind)  # relative to a root
