from dataclasses import replace

import pytest
import torch

from handlib import DHPE, refine, refinement
from handlib.camera import crop_to_px
from handlib.data import SyntheticHands
from handlib.fitting.skeleton import Skeleton, projected
from handlib.losses import feature_loss, laplacian_loss
from handlib.output import in_meters
from handlib.parameters import posed_hand, posed_skeleton
from handlib.refinement import RefinementWeights

STEPS, METHODS = 6, ("gauss-newton", "gradient")
BARE = RefinementWeights(feature=0.1, laplacian=1, update_2d=1, confidence=0, stay=0)  # Eq. 13 as it stands


@pytest.fixture(scope="module")
def first(trained, batch):
    with torch.no_grad():
        return trained.model(batch["image"])


@pytest.fixture(scope="module")
def refined(trained, batch, first):
    return refine(trained.model, batch["image"], first, 20)


def distance(output) -> torch.Tensor:
    """Mean distance of each hand's projected joints from its 2D evidence, crop units."""
    return (output.mesh_crop.joints[..., :2] - output.evidence_2d).norm(dim=-1).mean(-1)


def test_joints_meet_evidence_that_a_hand_can_meet(trained, batch, first):
    """Evidence that stands still, a shift and a stretch away from the first estimate."""
    evidence = 1.1 * first.mesh_crop.joints[..., :2] + 0.1
    alone = replace(BARE, step=0.02, feature=0, laplacian=0, update_2d=0)
    shifted = replace(first, evidence_2d=evidence)
    for method in METHODS:
        refined = refine(trained.model, batch["image"], shifted, 20, alone, method)
        assert (distance(refined) < 0.2 * distance(shifted)).all()


def test_history_holds_every_step(first, refined):
    assert len(refined.history) == 21
    assert torch.equal(refined.history[0].h, first.h)
    assert torch.equal(refined.history[0].evidence_2d, first.evidence_2d)
    assert torch.equal(refined.history[-1].h, refined.h)


def test_parts_of_the_result_agree(trained, refined):
    meters = in_meters(trained.model.hand, refined.h)
    assert torch.equal(refined.vertices, meters.vertices) and torch.equal(refined.joints_3d, meters.joints)
    torch.testing.assert_close(refined.joints_2d, crop_to_px(refined.mesh_crop.joints, 64)[..., :2])
    assert refined.size == 64
    assert not refined.h.requires_grad and not refined.vertices.requires_grad


def test_first_step_is_a_signed_step_of_gamma(trained, batch, first):
    """Adam's first step moves each number of h by γ or hardly at all."""
    after = refine(trained.model, batch["image"], first, 1, RefinementWeights(step=0.02), "gradient")
    assert (after.h - first.h).abs().max() == pytest.approx(0.02, rel=1e-2)


def test_model_is_left_as_it_was(trained, batch, first):
    model = trained.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.zero_grad()
    wanted = [n % 2 == 0 for n, _ in enumerate(model.parameters())]
    for parameter, needed in zip(model.parameters(), wanted, strict=True):
        parameter.requires_grad_(needed)
    try:
        refine(model, batch["image"], first, 2)
        assert [p.requires_grad for p in model.parameters()] == wanted
        assert all(p.grad is None for p in model.parameters())
    finally:
        model.requires_grad_(True)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_model_is_restored_after_an_interruption(trained, batch, first, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(refinement, "posed_hand", interrupt)
    with pytest.raises(KeyboardInterrupt):
        refine(trained.model, batch["image"], first, 2)
    assert all(p.requires_grad for p in trained.model.parameters())


def test_works_without_gradients_around_it(trained, batch, first):
    with torch.no_grad():
        inside = refine(trained.model, batch["image"], first, 2)
    assert torch.equal(inside.h, refine(trained.model, batch["image"], first, 2).h)


def test_each_hand_moves_as_it_would_alone(trained, batch):
    images = batch["image"][:2]
    with torch.no_grad():
        together = refine(trained.model, images, trained.model(images), STEPS)
        for n in range(2):
            image = images[n : n + 1]
            alone = refine(trained.model, image, trained.model(image), STEPS)
            torch.testing.assert_close(alone.vertices[0], together.vertices[n], rtol=0, atol=1e-3)
            torch.testing.assert_close(alone.joints_2d[0], together.joints_2d[n], rtol=0, atol=0.2)


def objective_by_hand(model, images, first, state, evidence, weights) -> torch.Tensor:
    """Eq. 13 written out, hand by hand and joint by joint."""
    values = []
    for b in range(len(images)):
        joints = 0.0
        for j in range(21):
            distance = (state.joints[b, j, :2] - evidence[b, j]).norm()
            joints += first.heatmaps[b, j].max().clamp(0, 1) ** weights.confidence * distance**2 / 42
        h = state.h[b : b + 1]
        mesh = posed_hand(model.hand, h).vertices
        masked = model.feature_extractor(images[b : b + 1] * model.render_mask(mesh)[:, None])
        values.append(
            joints
            + weights.feature * feature_loss(masked, first.features[b : b + 1])
            + weights.laplacian * laplacian_loss(in_meters(model.hand, h).vertices, model.laplacian)
            + weights.stay * (h - first.h[b : b + 1]).square().mean()
        )
    return torch.stack(values)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weights", [RefinementWeights(), BARE], ids=["ours", "bare"])
def test_the_objective_is_that_of_the_equation(trained, batch, first, weights, method):
    refined = refine(trained.model, batch["image"], first, 3, weights, method)
    for state in refined.history:
        with torch.no_grad():
            wanted = objective_by_hand(trained.model, batch["image"], first, state, refined.evidence_2d, weights)
        torch.testing.assert_close(state.objective, wanted, rtol=1e-4, atol=1e-6)


def test_derivatives_of_the_projected_joints_are_those_of_torch(trained, first):
    hand = trained.model.hand
    joints, by_h = projected(Skeleton(hand, hand.template), first.h)
    torch.testing.assert_close(joints, posed_skeleton(hand, first.h), rtol=0, atol=1e-5)
    for h, own in zip(first.h, by_h, strict=True):
        whole = torch.autograd.functional.jacobian(lambda h: posed_skeleton(hand, h[None])[0, :, :2].flatten(), h)
        torch.testing.assert_close(own, whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "steps"),
    [(RefinementWeights(update_2d=0), 8), (RefinementWeights(update_2d=0, confidence=0, laplacian=1, feature=0.1), 16)],
    ids=["as shipped", "with features"],
)
def test_a_few_steps_reach_what_fifty_gradient_steps_reach(weights, steps):
    """lite on rendered validation hands, against joints that stand still, so that both go down the same E. Features,
    whose curvature the steps leave out, take twice as many."""
    model, n = DHPE.from_pretrained("lite"), 2 if weights.feature else 4  # features are rendered at every step
    images = SyntheticHands("val", 128, n).batch(torch.arange(n))["image"]
    with torch.no_grad():
        first = model(images)
    few = refine(model, images, first, steps if weights.feature else None, weights)
    many = refine(model, images, first, None, weights, "gradient")
    assert len(few.history) == steps + 1 and len(many.history) == 51
    start, least = few.history[0].objective, torch.stack([state.objective for state in many.history]).amin(0)
    assert (few.history[-1].objective <= least + 0.01 * (start - least)).all()
    assert few.history[-1].objective.sum() <= least.sum() + 1e-6


@pytest.mark.parametrize("update_2d", [0.25, 1.0])
def test_the_objective_never_rises(trained, batch, first, update_2d):
    """Nor where j2D moves."""
    refined = refine(trained.model, batch["image"], first, 12, RefinementWeights(update_2d=update_2d))
    objective = torch.stack([state.objective for state in refined.history])
    assert (objective.diff(dim=0) <= 0).all() and (objective[-1] < objective[0]).all()


def test_large_gradient_steps_climb(trained, batch, first):
    refined = refine(trained.model, batch["image"], first, 12, RefinementWeights(step=0.2), "gradient")
    assert (torch.stack([state.objective for state in refined.history]).diff(dim=0) > 0).any()


def test_a_joint_whose_heatmap_is_empty_does_not_pull(trained, batch, first):
    heatmaps = first.heatmaps.clone()
    heatmaps[:, 8] = 0
    pulled = first.evidence_2d.clone()
    pulled[:, 8] += 0.5
    weights = replace(BARE, update_2d=0, confidence=1, feature=0)
    there = refine(trained.model, batch["image"], replace(first, heatmaps=heatmaps, evidence_2d=pulled), 5, weights)
    here = refine(trained.model, batch["image"], replace(first, heatmaps=heatmaps), 5, weights)
    assert torch.equal(there.h, here.h)
    heatmaps[:, 8] = 1  # sure of it
    there = refine(trained.model, batch["image"], replace(first, heatmaps=heatmaps, evidence_2d=pulled), 5, weights)
    here = refine(trained.model, batch["image"], replace(first, heatmaps=heatmaps), 5, weights)
    assert not torch.equal(there.h, here.h)


def test_without_the_feature_term_nothing_is_rendered(trained, batch, first, monkeypatch):
    def rendered(*_):
        raise AssertionError("rendered")

    monkeypatch.setattr(type(trained.model), "render_mask", rendered)
    refine(trained.model, batch["image"], first, 2, RefinementWeights(feature=0.0))


def test_bad_choices_are_named(trained, batch, first):
    with pytest.raises(ValueError, match="unknown method 'newton': choose one of gauss-newton, gradient"):
        refine(trained.model, batch["image"], first, method="newton")
    with pytest.raises(ValueError, match="iterations must be at least 0"):
        refine(trained.model, batch["image"], first, -1)


@pytest.mark.parametrize("method", METHODS)
def test_without_any_term_the_hand_stays(trained, batch, first, method):
    """Heat maps of nothing: no joint counts."""
    empty = replace(first, heatmaps=torch.zeros_like(first.heatmaps))
    nothing = replace(BARE, confidence=1, feature=0, laplacian=0, step=0.02)
    assert torch.equal(refine(trained.model, batch["image"], empty, 3, nothing, method).h, first.h)


def test_no_iterations_change_nothing(trained, batch, first):
    same = refine(trained.model, batch["image"], first, 0)
    assert torch.equal(same.h, first.h) and len(same.history) == 1
    torch.testing.assert_close(same.vertices, first.vertices)


def test_evidence_moves_only_with_the_refiner(trained, batch, first):
    still = refine(trained.model, batch["image"], first, STEPS, RefinementWeights(update_2d=0.0))
    assert torch.equal(still.evidence_2d, first.evidence_2d)
    moving = refine(trained.model, batch["image"], first, STEPS)
    assert not torch.equal(moving.evidence_2d, first.evidence_2d)


def test_a_strong_pull_keeps_the_first_estimate(trained, batch, first, refined):
    held = refine(trained.model, batch["image"], first, 20, RefinementWeights(stay=100.0))
    assert (held.h - first.h).norm() < 0.5 * (refined.h - first.h).norm()


def test_larger_images(trained, batch, first):
    """The evidence is looked at in the network's size, joints are given in the image's pixels."""
    images = torch.nn.functional.interpolate(batch["image"][:1], (96, 96), mode="bilinear")
    with torch.no_grad():
        output = refine(trained.model, images, trained.model(images), 2)
    assert output.size == 96
    torch.testing.assert_close(output.joints_2d, crop_to_px(output.mesh_crop.joints, 96)[..., :2])


def test_an_estimate_without_evidence_is_refused(trained, batch, first):
    with pytest.raises(ValueError, match="only an estimate made by a DHPE"):
        refine(trained.model, batch["image"], replace(first, mesh_crop=None))


def test_a_model_in_training_is_refined_with_as_in_use_and_left_as_it_was(trained, batch, first, refined):
    before = {name: value.clone() for name, value in trained.model.state_dict().items()}
    try:
        again = refine(trained.model.train(), batch["image"], first, 20)
        assert trained.model.training and trained.model.pose_network.training
    finally:
        trained.model.eval()
    assert torch.equal(again.h, refined.h)
    assert all(torch.equal(value, before[name]) for name, value in trained.model.state_dict().items())


def test_images_that_the_estimate_is_not_of(trained, batch, first, unchecked):
    images = batch["image"]
    with pytest.raises(ValueError, match="3 images but an estimate of 4"):
        refine(trained.model, images[:3], first, 1)
    with pytest.raises(ValueError, match="square RGB crops"):
        refine(trained.model, images[..., :32], first, 1)
    with pytest.raises(ValueError, match="NaN or infinity"):
        refine(trained.model, torch.full_like(images, torch.nan), first, 1)


@pytest.mark.parametrize("method", METHODS)
def test_autocast_rounds_no_step(trained, batch, first, method):
    plain = refine(trained.model, batch["image"], first, 2, BARE, method)
    with torch.autocast("cpu", torch.bfloat16):
        found = refine(trained.model, batch["image"], first, 2, BARE, method)
    assert torch.equal(found.h, plain.h)


@pytest.mark.parametrize("method", METHODS)
def test_an_estimate_of_inference_mode_is_refined(trained, batch, first, method):
    plain = refine(trained.model, batch["image"], first, 2, BARE, method)
    with torch.inference_mode():
        images = batch["image"].clone()
        output = trained.model(images)
        inside = refine(trained.model, images, output, 2, BARE, method)
    outside = refine(trained.model, images, output, 2, BARE, method)
    assert torch.equal(inside.h, plain.h) and torch.equal(outside.h, plain.h)
    assert not inside.h.is_inference()


def test_images_of_double_precision_are_refined_like_single(trained, batch, first):
    single = refine(trained.model, batch["image"], first, 2, BARE)
    assert torch.equal(refine(trained.model, batch["image"].double(), first, 2, BARE).h, single.h)
