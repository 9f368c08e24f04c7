from dataclasses import replace

import pytest
import torch

from handlib import DHPE, Renderer, augmentation
from handlib.augmentation import AugmentationConfig, augment, pool, random_rotations, random_shapes, seed_colors
from handlib.camera import CROP_FACTOR, FLIP, crop_box, crop_to_px, normalize_joints, project
from handlib.data import BuiltinBackgrounds, HandSample, collate
from handlib.dhpe import DHPEConfig
from handlib.hand.joints import MIDDLE_MCP
from handlib.hand.mesh import boundary_loop
from handlib.output import Iteration, assemble
from handlib.parameters import MeshParameters, posed_hand, posed_skeleton

SIZE = 96
GREEN, SKIN = (0.0, 1.0, 0.0), (0.8, 0.5, 0.4)


@pytest.fixture(scope="module")
def model():
    """Not trained: the estimates of these tests are the truth."""
    torch.manual_seed(0)
    return DHPE(DHPEConfig(size=64, feature_width=4, features=32, pose_width=4, hidden=32)).eval()


@pytest.fixture(scope="module")
def seeds(model):
    """Two hands of one color on green, the batch that they are, and the true meshes as the model's estimates."""
    hand = model.hand
    pose, shape = hand.sample(2, torch.Generator().manual_seed(3))
    first = MeshParameters.split(MeshParameters.initial(hand).expand(2, -1))
    h = first._replace(pose=pose, shape=shape).join()
    mesh = posed_hand(hand, h)
    vertices_px = crop_to_px(mesh.vertices, SIZE)
    colors = torch.tensor(SKIN).expand(2, 778, 3)
    green = torch.tensor(GREEN).view(3, 1, 1).expand(3, SIZE, SIZE)
    renderer = Renderer(SIZE)
    image = renderer.rgb(vertices_px, hand.faces, colors, green)
    K = torch.tensor([[300.0, 0.0, SIZE / 2], [0.0, 300.0, SIZE / 2], [0.0, 0.0, 1.0]]).expand(2, 3, 3)
    depth = torch.tensor([0.5, 0.8])
    joints = posed_skeleton(hand, h)
    joints_cam = (
        joints * 0.1
        + torch.stack([torch.zeros(2), torch.zeros(2), depth - 0.1 * joints[:, MIDDLE_MCP, 2]], -1)[:, None]
    )
    batch = {
        "image": image,
        "mask": renderer.silhouette(vertices_px, hand.faces),
        "joints_px": project(joints_cam, K),
        "joints_cam": joints_cam,
        "visible": torch.ones(2, 21, dtype=torch.bool),
        "K": K,
        "vertices_cam": torch.zeros(2, 778, 3),
    }
    state = Iteration(h, joints[..., :2], joints)
    return batch, assemble(hand, [state], SIZE, torch.zeros(2, 21, 4, 4), torch.zeros(2, 8))


def make(model, seeds, config=None, seed=0):
    batch, output = seeds
    return augment(
        model, output, batch["image"], batch, torch.Generator().manual_seed(seed), BuiltinBackgrounds(), config
    )


@pytest.fixture(scope="module", params=augmentation.CAMERAS)
def made(request, model, seeds):
    return make(model, seeds, AugmentationConfig(camera=request.param))


def test_fields_are_those_of_a_training_batch(made, seeds):
    assert len(made["image"]) == 6
    names = {"image", "mask", "joints_px", "joints_cam", "visible", "K", "vertices_cam"}
    samples = [HandSample(**{name: made[name][n] for name in names}, side="right", name=str(n)) for n in range(6)]
    again = collate(samples)
    assert made.keys() == again.keys() == seeds[0].keys()
    for name, value in seeds[0].items():
        assert made[name].shape[1:] == value.shape[1:] and made[name].dtype == value.dtype, name
        assert torch.equal(made[name], again[name]), name
    assert made["image"].amin() >= 0 and made["image"].amax() <= 1


def test_joints_reproject(made, model):
    torch.testing.assert_close(project(made["joints_cam"], made["K"]), made["joints_px"])
    torch.testing.assert_close(model.hand.regress_joints(made["vertices_cam"]), made["joints_cam"], rtol=0, atol=1e-5)


def test_the_hand_fills_its_crop(made):
    box = crop_box(made["joints_px"])
    torch.testing.assert_close(box, torch.tensor([0.0, 0.0, SIZE]).expand(6, 3), rtol=0, atol=0.02)
    assert made["visible"].all()


def test_the_mask_is_that_of_the_mesh(made, model):
    """Rendered by another renderer, at the pixels' centers: the outline's pixels alone may differ."""
    vertices_px = torch.cat([project(made["vertices_cam"], made["K"]), made["vertices_cam"][..., 2:]], -1)
    rendered = Renderer(SIZE, "reference").silhouette(vertices_px, model.hand.faces)
    outline = Renderer(SIZE, supersampling=4).silhouette(vertices_px, model.hand.faces)
    inside = (outline == 0) | (outline == 1)
    assert torch.equal(made["mask"][inside], rendered[inside])
    assert (made["mask"] != rendered).float().mean() < 0.02
    assert made["mask"].mean((1, 2)).amin() > 0.05 and set(made["mask"].unique().tolist()) == {0.0, 1.0}


def test_the_picture_shows_the_skin_where_the_mask_is(made):
    hand, scene = made["image"].movedim(1, -1), made["mask"] > 0
    inside = torch.nn.functional.avg_pool2d(made["mask"][:, None], 3, 1, 1)[:, 0] > 0.99
    error = (hand[inside] - torch.tensor(SKIN)).abs().amax(-1)
    assert (error > 1e-3).float().mean() < 0.01  # but for pixels with a gap between two fingers
    assert (hand[~scene] - torch.tensor(SKIN)).abs().amax(-1).median() > 0.1


def test_who_looks_into_the_wrist_sees_skin(model, seeds):
    """The inside of the fingertips, seen through an open wrist, would be as red as they are."""
    hand = model.hand
    h = seeds[1].h[:1]
    pose, shape = MeshParameters.split(h)[:2]
    along = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # the fingers, at −x, point away: to +z
    root, K = torch.tensor([[0.0, 0.0, 0.6]]), seeds[0]["K"][:1]
    placed = augmentation._placed(model, pose, shape, (torch.tensor(FLIP)[:, None] * along)[None], root, K, SIZE)
    depth = placed["joints_cam"][0, :, 2]
    assert depth[0] < depth[MIDDLE_MCP]  # the wrist is nearest
    colors = torch.tensor(SKIN).expand(1, 778, 3).clone()
    loop = boundary_loop(hand.faces)
    colors[:, loop] = torch.tensor([0.0, 0.0, 1.0])
    drawn = augmentation._pictures(model, placed, colors, torch.zeros(1, 3, SIZE, SIZE), 2)
    rim = project(placed["vertices_cam"][0, loop], placed["K"][0])
    row, column = rim.mean(0).flip(0).long().tolist()
    torch.testing.assert_close(drawn["image"][0, :, row, column], torch.tensor([0.0, 0.0, 1.0]), rtol=0, atol=1e-5)


def test_orthographic_is_the_methods_own_camera(model, seeds):
    """Eq. 8 of an orthographic hand: x, y, z share one unit, that of the crop."""
    made = make(model, seeds, AugmentationConfig(camera="orthographic"))
    joints = made["joints_cam"] - made["joints_cam"][:, MIDDLE_MCP : MIDDLE_MCP + 1]
    side = CROP_FACTOR * (joints[..., :2].amax(1) - joints[..., :2].amin(1)).amax(-1)
    target = normalize_joints(made["joints_cam"], made["K"])
    torch.testing.assert_close(target, joints / side[:, None, None], rtol=0, atol=0.01)


def test_the_root_stays_where_the_seeds_was(model, seeds):
    made = make(model, seeds, AugmentationConfig(camera="seed"))
    batch, output = seeds
    depth = batch["joints_cam"][:, MIDDLE_MCP, 2].repeat_interleave(3)
    torch.testing.assert_close(made["joints_cam"][:, MIDDLE_MCP, 2], depth)
    seen = project(made["joints_cam"], batch["K"].repeat_interleave(3, 0))[:, MIDDLE_MCP]
    torch.testing.assert_close(seen, output.joints_2d[:, MIDDLE_MCP].repeat_interleave(3, 0), rtol=0, atol=1e-2)


def test_pose_is_kept_and_shape_is_not(model, seeds):
    """Bones turn with pose alone: with shapes held at zero, the new hands are the seed's pose, moved rigidly."""
    made = make(model, seeds, AugmentationConfig(shape_range=0.0))
    batch, output = seeds
    pose = MeshParameters.split(output.h).pose.repeat_interleave(3, 0)
    rest = model.hand(pose, torch.zeros(6, 10)).vertices
    torch.testing.assert_close(
        torch.cdist(made["vertices_cam"], made["vertices_cam"]), torch.cdist(rest, rest), rtol=0, atol=1e-3
    )
    shaped = make(model, seeds)["vertices_cam"]
    assert (torch.cdist(shaped, shaped) - torch.cdist(rest, rest)).abs().amax((1, 2)).min() > 5e-3


def test_shapes_fill_their_range(generator):
    shapes = random_shapes(2000, 3.0, generator)
    assert shapes.abs().max() <= 3 and shapes.amax(0).min() > 2.9 and shapes.amin(0).max() < -2.9
    assert shapes.std() == pytest.approx(3 / 3**0.5, rel=0.02)


@pytest.mark.parametrize("kind", augmentation.ROTATIONS)
def test_rotations_are_rotations_and_uniform_as_named(kind, generator):
    rotation = random_rotations(4000, kind, generator)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(4000, 3, 3), rtol=0, atol=1e-5)
    assert (torch.linalg.det(rotation) > 0).all()
    moments = rotation.square().mean(0)  # 1/3 everywhere if uniform over all rotations
    if kind == "sphere":
        torch.testing.assert_close(moments, torch.full((3, 3), 1 / 3), rtol=0, atol=0.03)
    else:  # the sine of the middle angle is an entry, and its mean square is 1/2
        assert moments.amax() == pytest.approx(0.5, abs=0.03)


def test_the_generator_decides(model, seeds):
    first, same, other = (make(model, seeds, seed=seed) for seed in (0, 0, 1))
    for name, value in first.items():
        assert torch.equal(value, same[name]), name
    assert not torch.equal(first["image"], other["image"])


def test_seen_colors_are_the_images(model, seeds):
    """A picture whose red is its column: the skin's red is the vertex's place."""
    batch, output = seeds
    ramp = (torch.arange(SIZE) + 0.5) / SIZE
    images = batch["image"].clone()
    images[:, 0] = ramp
    colors, usable = seed_colors(model, output, images, batch, AugmentationConfig())
    shown = augmentation.sample_colors(images, crop_to_px(output.mesh_crop.vertices, SIZE), model.hand.faces)[1]
    place = crop_to_px(output.mesh_crop.vertices, SIZE)[..., 0] / SIZE
    inside = shown & ((place - 0.5).abs() < 0.45)
    known = inside & (colors - images.new_tensor(SKIN)).abs()[..., 1:].amax(-1).lt(1e-3)
    assert usable.all() and known.float().mean() > 0.15
    assert (colors[..., 0] - place)[known].abs().median() < 1e-3


def test_a_seed_beside_its_hand_wears_no_background(model, seeds):
    batch, output = seeds
    moved = (
        output.h
        + MeshParameters.split(torch.zeros(2, 63))._replace(translation=torch.tensor([[0.3, 0.0, 0.0]] * 2)).join()
    )
    mesh = posed_hand(model.hand, moved)
    beside = replace(output, h=moved, mesh_crop=mesh)
    for masked, clean in ((True, True), (False, False)):
        config = AugmentationConfig(masked=masked, least_shown=0.02)
        colors, usable = seed_colors(model, beside, batch["image"], batch, config)
        assert usable.all()
        assert (((colors - torch.tensor(SKIN)).abs().amax(-1) < 0.02).all(1) == clean).all()


def test_seeds_out_of_the_image_are_rejected(model, seeds):
    batch, output = seeds
    h = output.h.clone()
    h[1, -3] = 9.0
    gone = replace(output, h=h, mesh_crop=posed_hand(model.hand, h))
    assert seed_colors(model, gone, batch["image"], batch, AugmentationConfig())[1].tolist() == [True, False]
    made = augment(model, gone, batch["image"], batch, torch.Generator().manual_seed(0), BuiltinBackgrounds())
    assert len(made["image"]) == 3
    h[0] = torch.nan
    broken = replace(output, h=h, mesh_crop=posed_hand(model.hand, h))
    nothing = augment(model, broken, batch["image"], batch, torch.Generator().manual_seed(0), BuiltinBackgrounds())
    assert {name: value.shape[1:] for name, value in nothing.items()} == {n: v.shape[1:] for n, v in batch.items()}
    assert all(len(value) == 0 for value in nothing.values())
    assert len(pool(batch, nothing)["image"]) == 2


def test_an_unknown_camera_rejects_the_seed(model, seeds):
    batch, output = seeds
    unknown = batch["joints_cam"].clone()
    unknown[0] = torch.nan
    lost = batch | {"joints_cam": unknown}
    for camera, usable in (("seed", [False, True]), ("orthographic", [True, True])):
        found = seed_colors(model, output, batch["image"], lost, AugmentationConfig(camera=camera))[1]
        assert found.tolist() == usable


def test_pool_puts_them_behind_the_batch(model, seeds):
    made = make(model, seeds)
    together = pool({**seeds[0], "parts": torch.zeros(2, SIZE, SIZE)}, made)
    assert together.keys() == made.keys()
    for name, value in together.items():
        assert torch.equal(value, torch.cat([seeds[0][name], made[name]]))


def test_no_gradient_comes_back(model, seeds):
    batch = seeds[0]
    output = model(batch["image"])
    made = augment(model, output, batch["image"], batch, torch.Generator().manual_seed(0), BuiltinBackgrounds())
    assert output.h.requires_grad and not any(value.requires_grad for value in made.values())


def test_backgrounds_are_those_given(model, seeds):
    class Blue:
        name = "blue"

        def __len__(self):
            return 3

        def photograph(self, i):
            return torch.tensor([0, 0, 255], dtype=torch.uint8).view(3, 1, 1).expand(3, 90, 200)

    batch, output = seeds
    made = augment(model, output, batch["image"], batch, torch.Generator().manual_seed(0), Blue())
    corner = made["image"][:, :, 0, 0]
    assert torch.equal(corner, torch.tensor([0.0, 0.0, 1.0]).expand(6, 3))
    photographs = augment(
        model, output, batch["image"], batch, torch.Generator().manual_seed(0), BuiltinBackgrounds("val")
    )
    assert torch.equal(photographs["joints_cam"], make(model, seeds)["joints_cam"])


@pytest.mark.parametrize(
    "field, value", [("rotation", "up"), ("camera", "far"), ("hidden", "no"), ("per_seed", 0), ("shape_range", -1.0)]
)
def test_bad_settings_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        AugmentationConfig(**{field: value})


def test_estimates_of_other_makers_and_other_images_are_refused(model, seeds):
    batch, output = seeds
    with pytest.raises(ValueError, match="only an estimate made by a DHPE"):
        augment(model, replace(output, mesh_crop=None), batch["image"], batch, torch.Generator(), BuiltinBackgrounds())
    with pytest.raises(ValueError, match="must be of the same crops"):
        augment(model, output, batch["image"][..., :64, :64], batch, torch.Generator(), BuiltinBackgrounds())


def test_seeds_without_a_mask_are_judged_by_their_joints(model, seeds):
    """No mask in the batch, or NaN for some: a mesh on its hand is a seed all the same, one beside it is none."""
    batch, output = seeds
    batch = batch | {"joints_px": crop_to_px(output.mesh_crop.joints[..., :2], SIZE)}
    assert len(make(model, (batch, output))["image"]) == 6
    without = {name: value for name, value in batch.items() if name != "mask"}
    assert len(make(model, (without, output))["image"]) == 6
    unknown = batch | {"mask": batch["mask"].clone()}
    unknown["mask"][1] = torch.nan
    assert len(make(model, (unknown, output))["image"]) == 6
    off = SIZE * 16 / 224  # pixels: T of Eq. 12 is 15 of 224
    beside = unknown | {"joints_px": batch["joints_px"] + torch.tensor([off, 0.0])}
    usable = seed_colors(model, output, batch["image"], beside, AugmentationConfig())[1]
    assert usable.tolist() == [True, False] and len(make(model, (beside, output))["image"]) == 3
    assert len(make(model, (beside, output), AugmentationConfig(masked=False))["image"]) == 6


def test_autocast_rounds_no_instance(model, seeds):
    plain = make(model, seeds)
    with torch.autocast("cpu", torch.bfloat16):
        found = make(model, seeds)
    assert all(torch.equal(found[name], value) for name, value in plain.items())


def test_a_camera_that_is_zero_spoils_no_other_seed(model, seeds):
    batch, output = seeds
    K = batch["K"].clone()
    K[0] = 0
    found, wanted = make(model, (batch | {"K": K}, output)), make(model, seeds)
    assert len(found["image"]) == 3 and found.keys() == wanted.keys()
    assert make(model, (batch | {"K": torch.zeros_like(K)}, output))["image"].shape == (0, 3, SIZE, SIZE)
