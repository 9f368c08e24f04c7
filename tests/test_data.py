from dataclasses import fields

import pytest
import torch

from handlib.camera import project
from handlib.data import BuiltinBackgrounds, CachedHands, HandSample, SyntheticHands, collate
from handlib.data.appearance import (
    FOREARM_LENGTH,
    FOREARM_RINGS,
    MONK_TONES,
    add_forearm,
    shade,
    skin_colors,
    to_linear,
    to_srgb,
)
from handlib.joints import MIDDLE_MCP
from handlib.mesh import boundary_loop, vertex_normals
from handlib.metrics import align, joint_errors_mm

SIZE = 48


def equal(a: HandSample, b: HandSample) -> bool:
    values = [(getattr(a, f.name), getattr(b, f.name)) for f in fields(HandSample)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in values)


@pytest.fixture(scope="module")
def data(hand) -> SyntheticHands:
    return SyntheticHands("diverse", SIZE, 40, hand=hand)


@pytest.fixture(scope="module")
def samples(data) -> list[HandSample]:
    return [data[i] for i in range(12)]


# ---- samples


def test_a_sample_depends_on_split_seed_and_index_alone(hand, samples):
    again = SyntheticHands("diverse", SIZE, 3, hand=hand)
    torch.manual_seed(5)
    assert equal(again[2], samples[2]) and equal(again[0], samples[0])
    other = SyntheticHands("diverse", SIZE, 3, seed=1, hand=hand)[0]
    assert not torch.equal(other.joints_cam, samples[0].joints_cam)
    val = SyntheticHands("val", SIZE, 3, hand=hand)[0]
    assert not torch.equal(val.joints_cam, samples[0].joints_cam)
    assert not torch.equal(samples[1].joints_cam, samples[0].joints_cam)


def test_the_same_hand_at_another_size(hand, samples):
    """Geometry scales with the picture."""
    large = SyntheticHands("diverse", 2 * SIZE, 3, hand=hand)[0]
    assert torch.equal(large.joints_cam, samples[0].joints_cam)
    torch.testing.assert_close(large.joints_px, 2 * samples[0].joints_px, rtol=0, atol=1e-2)
    shrunk = torch.nn.functional.avg_pool2d(large.mask[None], 2)[0]
    assert (shrunk - samples[0].mask).abs().mean() < 0.03


def test_sampling_leaves_the_global_generator_alone(data):
    before = torch.get_rng_state()
    data[3]
    assert torch.equal(torch.get_rng_state(), before)


def test_values_and_shapes(samples):
    for sample in samples:
        assert sample.image.shape == (3, SIZE, SIZE) and sample.mask.shape == (SIZE, SIZE)
        assert 0 <= sample.image.min() and sample.image.max() <= 1
        assert sample.image.std() > 0.02
        assert set(sample.mask.unique().tolist()) == {0.0, 1.0}
        torch.testing.assert_close(sample.image * 255, (sample.image * 255).round(), rtol=0, atol=1e-3)
        assert sample.side == "right" and sample.name.startswith("diverse-0-")
        assert sample.joints_cam[:, 2].min() > 0.1


def test_joints_are_projected_by_K(samples):
    for sample in samples:
        torch.testing.assert_close(sample.joints_px, project(sample.joints_cam, sample.K))


def test_joints_are_those_of_the_mesh(hand, samples):
    for sample in samples:
        torch.testing.assert_close(sample.joints_cam, hand.regress_joints(sample.vertices_cam), rtol=0, atol=1e-5)


def test_mask_agrees_with_joints_and_vertices(samples):
    """The skeleton lies on the mask, and all of the mask near the projected hand."""
    on, covered = [], []
    for sample in samples:
        column, row = sample.joints_px.long().clamp(0, SIZE - 1).unbind(-1)
        on.append(sample.mask[row, column][sample.visible])
        vertices = project(sample.vertices_cam, sample.K)
        place = torch.stack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="xy"), -1) + 0.5
        lit = place[sample.mask > 0]
        covered.append(torch.cdist(lit, vertices).amin(1))
    assert torch.cat(on).mean() > 0.85
    assert torch.cat(covered).max() < 4


def test_visible_means_inside_the_picture(hand):
    data = SyntheticHands("train", SIZE, 20, hand=hand)
    for i in range(8):
        sample = data[i]
        for (x, y), visible in zip(sample.joints_px.tolist(), sample.visible.tolist(), strict=True):
            assert visible == (0 <= x < SIZE and 0 <= y < SIZE)


def test_hands_fill_two_thirds_of_the_crop(samples):
    for sample in samples:
        low, high = sample.joints_px.amin(0), sample.joints_px.amax(0)
        assert float((high - low).max()) == pytest.approx(SIZE / 1.5, rel=1e-3)
        torch.testing.assert_close((low + high) / 2, torch.full((2,), SIZE / 2), rtol=0, atol=0.05)


def test_training_crops_are_jittered(hand):
    data = SyntheticHands("train", SIZE, 20, hand=hand)
    spans = [data[i].joints_px for i in range(8)]
    sides = torch.stack([(px.amax(0) - px.amin(0)).max() / SIZE for px in spans])
    centres = torch.stack([(px.amax(0) + px.amin(0)) / 2 / SIZE for px in spans])
    assert sides.std() > 0.01 and 0.5 < sides.min() and sides.max() < 0.8
    assert centres.std() > 0.01


def test_hands_are_right_hands(hand, samples):
    """Turned and moved, never mirrored: the best rotation without reflection brings a hand near the template."""
    for sample in samples:
        palm = hand.weights[:, 0] > 0.99  # it hardly bends
        found = sample.vertices_cam[palm]
        errors = [
            joint_errors_mm(
                align(found, hand.template[palm] * torch.tensor([1.0, 1, side]), "procrustes"),
                hand.template[palm] * torch.tensor([1.0, 1, side]),
            ).mean()
            for side in (1.0, -1.0)
        ]
        assert errors[0] < 0.7 * errors[1]


def test_views_differ(samples):
    """Palms point everywhere; distances span half a metre."""
    joints = torch.stack([sample.joints_cam for sample in samples])
    normal = torch.linalg.cross(joints[:, 5] - joints[:, 0], joints[:, 17] - joints[:, 0])
    assert 0.1 < (normal[:, 2] > 0).float().mean() < 0.9
    depth = joints[:, MIDDLE_MCP, 2]
    assert depth.min() >= 0.35 and depth.max() <= 1 and depth.std() > 0.05


def test_length_and_bounds(data):
    assert len(data) == 40 and len(SyntheticHands("val")) == 500
    for index in (-1, 40):
        with pytest.raises(IndexError, match=f"has no sample {index}"):
            data[index]


def test_unknown_split():
    with pytest.raises(ValueError, match="unknown split 'test': choose one of train, val, diverse"):
        SyntheticHands("test")


def test_name_says_what_it_is(data):
    assert data.name.startswith("SyntheticHands ") and "diverse size=48 n=40 seed=0" in data.name


# ---- batches and the cache


def test_collate_stacks(samples):
    batch = collate(samples[:3])
    assert batch["image"].shape == (3, 3, SIZE, SIZE) and batch["visible"].dtype == torch.bool
    for key, value in batch.items():
        for n in range(3):
            assert torch.equal(value[n], getattr(samples[n], key))


def test_collate_leaves_out_what_a_sample_lacks(samples):
    from dataclasses import replace

    assert "vertices_cam" not in collate([samples[0], replace(samples[1], vertices_cam=None)])


def test_cache_reads_back_what_it_made(hand, tmp_path):
    data = SyntheticHands("val", 32, 5, hand=hand)
    made = CachedHands.make(data, folder=tmp_path, progress=False)
    read = CachedHands.make(data, folder=tmp_path, progress=False)
    direct = collate([data[i] for i in (3, 1)])
    assert len(made) == len(read) == 5 and made.name == data.name
    for cached in (made, read):
        batch = cached.batch(torch.tensor([3, 1]))
        assert batch.keys() == direct.keys()
        for key in direct:
            torch.testing.assert_close(batch[key], direct[key], rtol=0, atol=1e-6)
    assert len(list(tmp_path.iterdir())) == 1


def test_cache_is_not_rendered_twice(hand, tmp_path, monkeypatch):
    data = SyntheticHands("val", 32, 2, hand=hand)
    CachedHands.make(data, folder=tmp_path, progress=False)
    monkeypatch.setattr(SyntheticHands, "__getitem__", None)  # would fail
    assert len(CachedHands.make(data, folder=tmp_path, progress=False)) == 2


def test_cache_tells_data_sets_apart(hand, tmp_path):
    for options in ({"seed": 0}, {"seed": 1}, {"size": 40}, {"n": 3}, {"split": "diverse"}):
        chosen = {"split": "val", "size": 32, "n": 2, "hand": hand} | options
        data = SyntheticHands(**chosen)
        made = CachedHands.make(data, folder=tmp_path, progress=False)
        assert torch.equal(made.tensors["joints_cam"][0], data[0].joints_cam)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("keep", [0, 60, -50])
def test_damaged_cache_is_made_again(hand, tmp_path, keep):
    data = SyntheticHands("val", 32, 2, hand=hand)
    wanted = CachedHands.make(data, folder=tmp_path, progress=False)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    found = CachedHands.make(data, folder=tmp_path, progress=False)
    assert torch.equal(found.tensors["image"], wanted.tensors["image"])


def test_workers_render_the_same(hand):
    data = SyntheticHands("val", 32, 3, hand=hand)
    alone, helped = (CachedHands.make(data, workers, progress=False) for workers in (0, 1))
    assert torch.equal(alone.tensors["image"], helped.tensors["image"])


# ---- appearance


def test_srgb_round_trip():
    values = torch.linspace(0, 1, 300, dtype=torch.float64)
    torch.testing.assert_close(to_srgb(to_linear(values)), values, rtol=0, atol=1e-6)
    assert float(to_linear(torch.tensor(0.5))) == pytest.approx(0.2140, abs=1e-4)  # of the standard
    assert to_srgb(torch.tensor([-0.5, 2.0])).tolist() == pytest.approx([0, 1])


@pytest.mark.parametrize("tone", [0.0, 4.0, 8.0, 9.0])
def test_whole_tones_are_those_of_the_scale(tone):
    plain = torch.full((5, 3), 0.7)
    found = to_srgb(skin_colors(plain, tone, torch.ones(3)))[0]
    wanted = [int(MONK_TONES[int(tone)][i : i + 2], 16) / 255 for i in (0, 2, 4)]
    assert found.tolist() == pytest.approx(wanted, abs=1e-3)


def test_skin_keeps_its_relief(hand):
    colors = skin_colors(hand.vertex_colors, 5.0, torch.ones(3))
    own = to_linear(hand.vertex_colors)
    torch.testing.assert_close(colors / colors.mean(0), own / own.mean(0), rtol=1e-3, atol=1e-3)


def test_forearm_closes_on_to_the_hand(hand):
    """One surface: each rim edge is shared, normals stay outward, the hand's own faces come first."""
    loop = boundary_loop(hand.faces)
    direction = torch.tensor([1.0, 0.0, 0.0])
    vertices, faces = add_forearm(hand.template, hand.faces, loop, direction)
    n = len(loop)
    assert len(vertices) == 778 + FOREARM_RINGS * n and len(faces) == 1538 + 2 * FOREARM_RINGS * n
    assert torch.equal(faces[:1538], hand.faces) and torch.equal(vertices[:778], hand.template)
    assert set(boundary_loop(faces).tolist()) == set(range(len(vertices) - n, len(vertices)))  # open at the elbow only
    reach = vertices[-n:].mean(0) - vertices[loop].mean(0)
    torch.testing.assert_close(reach, FOREARM_LENGTH * direction, rtol=0, atol=1e-5)
    arm = vertices[778:]
    outward = arm.view(FOREARM_RINGS, n, 3) - arm.view(FOREARM_RINGS, n, 3).mean(1, keepdim=True)
    normals = vertex_normals(vertices, faces)[778:].view(FOREARM_RINGS, n, 3)
    assert ((outward * normals).sum(-1) > 0).float().mean() > 0.95


def test_shade_is_brightest_towards_the_light(hand):
    vertices = hand.template * torch.tensor([1.0, -1, -1]) + torch.tensor([0, 0, 0.5])
    light, dark = torch.tensor([0.0, -1.0, 0.0]), torch.zeros(3)
    colors = shade(vertices, hand.faces, torch.full((778, 3), 0.5), light, torch.full((3,), 0.8), dark, dark, 0.0)
    facing = vertex_normals(vertices, hand.faces) @ light
    assert colors[facing > 0.9].min() > colors[facing < 0.1].max()
    assert (colors[facing < -0.3] == 0).all()


def test_without_light_there_is_black(hand):
    dark = torch.zeros(3)
    up = torch.tensor([0.0, -1.0, 0.0])
    colors = shade(hand.template + 0.5, hand.faces, torch.rand(778, 3), up, dark, dark, dark, 0.2)
    assert not colors.any()


# ---- backgrounds


def test_backgrounds_follow_the_generator():
    backgrounds = BuiltinBackgrounds("val")
    draws = [backgrounds.sample(24, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert all(d.shape == (3, 24, 24) and 0 <= d.min() and d.max() <= 1 for d in draws)


def test_splits_share_no_photograph():
    photographs = [BuiltinBackgrounds(split).photographs for split in ("train", "val", "test")]
    seen = [(p.shape, int(p.long().sum())) for split in photographs for p in split]
    assert len(seen) == len(set(seen)) > 6


def test_unknown_background_split():
    with pytest.raises(ValueError, match="unknown split 'diverse': choose one of train, val, test"):
        BuiltinBackgrounds("diverse")


def test_photographs_that_are_not_installed(monkeypatch):
    from handlib.data import backgrounds

    backgrounds._read.cache_clear()
    monkeypatch.setattr(backgrounds.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        ModuleNotFoundError, match=r"scikit-learn, which is not installed: pip install 'handlib\[train\]'"
    ):
        BuiltinBackgrounds("val")
