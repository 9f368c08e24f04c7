import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from miniatures import OPENGL, hands, write_freihand, write_ho3d

from handlib.data import HO3D, FreiHAND
from handlib.evaluation.submissions import SERVERS, read_submission, write_submission
from handlib.hand.joints import C21, MANO21

N = 3


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Servers that take three hands."""
    for name, server in SERVERS.items():
        monkeypatch.setitem(SERVERS, name, replace(server, hands=N))


@pytest.fixture(scope="module")
def estimates(hand):
    found = hands(hand, N, 7)
    return torch.from_numpy(found.joints).float(), torch.from_numpy(found.vertices).float()


@pytest.mark.parametrize("server", SERVERS)
def test_what_is_written_is_what_comes_back(estimates, tmp_path, server):
    path = write_submission(tmp_path / "out" / "pred.json", server, *estimates)
    for found, given in zip(read_submission(path, server), estimates, strict=True):
        torch.testing.assert_close(found, given, rtol=0, atol=1e-6)
    assert [p.name for p in path.parent.iterdir()] == ["pred.json"]


def test_freihand_takes_ours_as_they_are(estimates, tmp_path):
    xyz, verts = json.loads(write_submission(tmp_path / "pred.json", "freihand", *estimates).read_text())
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
    samples = list(reader(tmp_path, "test", 16, vertices=True))
    points = [torch.stack([getattr(s, name) for s in samples]) for name in ("joints_cam", "vertices_cam")]
    written = json.loads(write_submission(tmp_path / "pred.json", server, *points).read_text())
    for what, found in zip(("xyz", "verts"), written, strict=True):
        np.testing.assert_allclose(found, json.loads((tmp_path / f"evaluation_{what}.json").read_text()), atol=2e-6)


@pytest.mark.parametrize("layout", [{}, {"indent": 1}, {"separators": (",", ":")}])
def test_files_that_others_wrote(estimates, tmp_path, layout):
    path = tmp_path / "pred.json"
    path.write_text(json.dumps([part.tolist() for part in estimates], **layout))
    for found, given in zip(read_submission(path, "freihand"), estimates, strict=True):
        torch.testing.assert_close(found, given)


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


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", "not a JSON list of all joints and all vertices"),
        ("<html>", "not a JSON list of all joints and all vertices"),
        ("[[], []]", "not a JSON list of all joints and all vertices"),
        ("[[[[1, 2, 3]]]]", "not a JSON list of all joints and all vertices"),
        ("[[[[1, 2, 3]]], [[[1, 2, 3]]]]", "1 hands of 21 points, freihand has 3"),
        ("[[[[1]], [[1]], [[1]]], [[[1]]]]", r"row 0 has shape \(1, 1\), expected \(21, 3\)"),
        ("]]],[[[" * 100, "not a JSON list"),
        ("[" * 100_000, "not a JSON list of all joints and all vertices"),
    ],
)
def test_files_that_are_none(tmp_path, text, complaint):
    (tmp_path / "pred.json").write_text(text)
    with pytest.raises(ValueError, match=f"pred.json: {complaint}"):
        read_submission(tmp_path / "pred.json", "freihand")


def test_too_large_a_file_is_refused(tmp_path):
    with open(tmp_path / "pred.json", "wb") as file:
        file.truncate(1 << 20)
    with pytest.raises(ValueError, match="pred.json: 1 MB is too large"):
        read_submission(tmp_path / "pred.json", "freihand")
    with pytest.raises(FileNotFoundError, match="no submission at"):
        read_submission(tmp_path / "none.json", "freihand")
