"""What the live page saves is what handlib writes for the same hands, and handlib reads it back."""

import json
import shutil
import subprocess
from importlib.resources import files

import numpy as np
import pytest
import torch
import trimesh

from handlib.photo.estimate import HandEstimate, describe_photo
from handlib.photo.mano_parameters import from_mano_parameters
from handlib.photo.meshes import write_meshes
from handlib.support import roma

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node here: apt-get install nodejs")
SIZE = (320, 240)
SAVE = """
import { readFileSync, writeFileSync } from "node:fs";
import { toGlb, toJson, toObj, upright } from "%s/save.js";
import { Hand } from "%s/hand.js";
const { hands, K, faces, colors, jointNames, rest } = JSON.parse(readFileSync(0));
const model = new Hand({ ...rest, template: [], parents: [] });
for (const hand of hands) {
  for (const [name, value] of Object.entries(hand)) if (Array.isArray(value)) hand[name] = Float64Array.from(value);
}
const named = hands.map((hand) => ({ vertices: upright(hand.vertices_cam), faces: Uint16Array.from(faces[hand.side]),
  colors: Uint8Array.from(colors), name: `${hand.side} hand` }));
const size = { width: 320, height: 240 };
const restJoints = (shape) => model.restJoints([...shape]);
writeFileSync("hand.json", toJson({ hands, K, assumed: true }, size, jointNames, restJoints));
writeFileSync("hand.obj", toObj(named));
writeFileSync("hand.glb", toGlb(named));
"""


@pytest.fixture(scope="module")
def hands(hand) -> list[HandEstimate]:
    """A right and a left hand half a meter away, each turned and shaped in its own way."""
    K, estimates = torch.tensor([[500.0, 0, 160], [0, 500, 120], [0, 0, 1]]), []
    generator = torch.Generator().manual_seed(3)
    for side, x in (("right", 0.1), ("left", -0.1)):
        pose, shape = (part[0] for part in hand.sample(1, generator))
        rotation = roma.rotvec_to_rotmat(torch.randn(3, generator=generator))
        shift = torch.tensor([abs(x), 0.0, 0.5])
        vertices = hand(pose, shape).vertices @ rotation.T + shift
        vertices = vertices * torch.tensor([-1.0, 1, 1]) if side == "left" else vertices
        h = torch.cat([pose, shape, torch.tensor([1.0, 0, 0, 0, 0.7, 0, 0, 0])])
        estimates.append(
            HandEstimate(
                side, 0.9, torch.linspace(0, 1, 21), vertices, hand.regress_joints(vertices), K, True, h,
                (rotation, shift), hand,
            )
        )  # fmt: skip
    return estimates


@pytest.fixture(scope="module")
def saved(hand, hands, tmp_path_factory):
    """A folder with what the page saves of them."""
    folder = tmp_path_factory.mktemp("saved")
    described = [
        {
            "side": one.side,
            "score": one.score,
            "placement": {"rotation": one.placement[0].flatten().tolist(), "translation": one.placement[1].tolist()},
        }
        | {
            name: getattr(one, name).flatten().tolist()
            for name in ("confidence", "h", "vertices_cam", "joints_cam", "joints_px")
        }
        for one in hands
    ]
    page = {
        "hands": described,
        "K": hands[0].K.flatten().tolist(),
        "faces": {one.side: one.faces.flatten().tolist() for one in hands},
        "colors": (255 * hand.vertex_colors).round().byte().flatten().tolist(),
        "jointNames": describe_photo([], SIZE, hands[0].K, True)["joint_names"],
        "rest": {
            "jointTemplate": hand.joint_template.flatten().tolist(),
            "jointShapes": hand.joint_shapes.flatten().tolist(),
        },
    }
    live = (files("handlib.viz") / "static/live").as_uri()
    subprocess.run(
        ["node", "--input-type=module", "--eval", SAVE % (live, live)],
        input=json.dumps(page), text=True, check=True, cwd=folder, timeout=60,
    )  # fmt: skip
    return folder


def test_the_json_is_that_of_predict(hands, saved):
    same(json.loads((saved / "hand.json").read_text()), describe_photo(hands, SIZE, hands[0].K, True))


def same(found, expected, where="file"):
    """Equal but for the last digit that is written."""
    if isinstance(expected, dict):
        assert list(found) == list(expected), where
        for name, value in expected.items():
            same(found[name], value, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for n, value in enumerate(expected):
            same(found[n], value, f"{where}[{n}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-5 if "px" not in where else 0.011), where
    else:
        assert found == expected, where


def test_handlib_reads_the_parameters_back(hand, hands, saved):
    for described, one in zip(json.loads((saved / "hand.json").read_text())["hands"], hands, strict=True):
        placed = from_mano_parameters(hand, described["mano"])
        vertices = hand(placed.pose, placed.shape).vertices @ placed.rotation.mT + placed.translation
        vertices = vertices * torch.tensor([-1.0, 1, 1]) if placed.side == "left" else vertices
        assert placed.side == one.side
        assert (vertices - one.vertices_cam).norm(dim=-1).max() < 1e-5


def test_meshes_are_those_of_predict(hands, saved, tmp_path):
    for suffix in ("obj", "glb"):
        write_meshes(tmp_path / f"hand.{suffix}", [one.mesh() for one in hands])
    lines, expected = ((folder / "hand.obj").read_text().splitlines() for folder in (saved, tmp_path))
    assert len(lines) == len(expected)
    for found, line in zip(lines[1:], expected[1:], strict=True):
        kind, *numbers = line.split()
        if kind == "o":
            assert found == line
        else:
            rows = [[float(value) for value in row.split()[1:]] for row in (found, line)]
            np.testing.assert_allclose(rows[0][:3], rows[1][:3], atol=1e-6)
            np.testing.assert_allclose(rows[0][3:], rows[1][3:], atol=0.003)  # colors are bytes in the page
    scenes = [trimesh.load(folder / "hand.glb", process=False) for folder in (saved, tmp_path)]
    assert list(scenes[0].geometry) == list(scenes[1].geometry)
    for name, mesh in scenes[1].geometry.items():
        other = scenes[0].geometry[name]
        np.testing.assert_allclose(other.vertices, mesh.vertices, atol=1e-6)
        np.testing.assert_array_equal(other.faces, mesh.faces)
        colors = [one.visual.vertex_attributes["color"] for one in (other, mesh)]
        np.testing.assert_allclose(*colors, atol=0.006)  # linear light of bytes
