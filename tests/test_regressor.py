import pytest
import torch

from handlib.parameters import MeshParameters, posed_hand
from handlib.regressor import Regressor

FEATURES = 5


@pytest.fixture
def inputs(generator):
    features = torch.randn(3, FEATURES, generator=generator)
    return features, 2 * torch.rand(3, 21, 2, generator=generator) - 1


def make(hand, **options) -> Regressor:
    torch.manual_seed(0)
    regressor = Regressor(hand, FEATURES, **options)
    with torch.no_grad():  # larger than at the start, so that every step matters
        for weight in regressor.parameters():
            weight.copy_(0.01 * torch.randn_like(weight))
    return regressor


@pytest.mark.parametrize("refine_2d", [True, False])
@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_single_layers_equal_equations_4_to_6(hand, inputs, iterations, refine_2d):
    """Hand by hand, weight by weight, with the inputs in the order of the equations."""
    features, peaks = inputs
    regressor = make(hand, hidden=0, iterations=iterations, refine_2d=refine_2d)
    states = regressor(hand, features, peaks)
    assert len(states) == iterations + 1
    for n in range(3):
        h, evidence = MeshParameters.initial(hand), peaks[n]
        for k, state in enumerate(states):
            torch.testing.assert_close(state.h[n], h, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(state.evidence_2d[n], evidence, rtol=1e-4, atol=1e-5)
            mesh = posed_hand(hand, h)
            torch.testing.assert_close(state.joints[n], mesh.joints, rtol=1e-4, atol=1e-4)
            if k == iterations:
                break
            x = torch.cat([features[n], evidence.flatten(), h])
            step = torch.stack([(row * x).sum() for row in regressor.estimate.weight]) + regressor.estimate.bias
            if refine_2d:
                x = torch.cat([h, features[n], mesh.joints.flatten(), evidence.flatten()])
                offset = torch.stack([(row * x).sum() for row in regressor.refiner.weight]) + regressor.refiner.bias
                evidence = evidence + offset.view(21, 2)
            h = h + step


def test_sizes_are_the_papers(hand):
    """2153 → 63 and 2216 → 42 with 2048 features."""
    regressor = Regressor(hand, 2048)
    assert regressor.estimate.weight.shape == (63, 2153)
    assert regressor.refiner.weight.shape == (42, 2216)


def test_hidden_layers(hand, inputs):
    regressor = make(hand, hidden=16)
    assert [layer.out_features for layer in regressor.estimate if hasattr(layer, "out_features")] == [16, 16, 63]
    assert regressor(hand, *inputs)[-1].h.shape == (3, 63)


@pytest.mark.parametrize("hidden", [0, 16])
def test_first_steps_stay_near_the_start(hand, inputs, hidden):
    torch.manual_seed(0)
    states = Regressor(hand, FEATURES, hidden)(hand, *inputs)
    assert (states[-1].h - states[0].h).abs().max() < 0.1
    assert (states[-1].evidence_2d - inputs[1]).abs().max() < 0.1
    assert not torch.equal(states[-1].h, states[0].h)


def test_without_the_refiner_the_evidence_stays(hand, inputs):
    for state in make(hand, refine_2d=False)(hand, *inputs):
        assert torch.equal(state.evidence_2d, inputs[1])


def test_every_weight_gets_a_gradient(hand, inputs):
    regressor = make(hand, hidden=8)
    last = regressor(hand, *inputs)[-1]
    (last.joints.square().sum() + last.evidence_2d.square().sum()).backward()
    for name, weight in regressor.named_parameters():
        assert weight.grad.abs().max() > 0, name


def test_start_travels_with_the_weights(hand):
    assert "start" in Regressor(hand, FEATURES).state_dict()


# ---- what goes in and out


def inputs_of(module) -> list[torch.Tensor]:
    """Will hold what every later call of a module was given."""
    seen = []
    module.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    return seen


@pytest.mark.parametrize("hidden", [0, 8])
def test_the_refiner_gets_exactly_the_inputs_of_equation_6(hand, inputs, hidden):
    """h(k), F, Reg(m(h(k))), j2D(k), in that order and before the step, once an iteration by the same weights."""
    features, peaks = inputs
    regressor = make(hand, hidden=hidden)
    seen = inputs_of(regressor.refiner)
    states = regressor(hand, features, peaks)
    assert len(seen) == 3
    for given, state in zip(seen, states[:3], strict=True):
        assert given.shape == (3, 63 + FEATURES + 63 + 42)
        h, f, joints, evidence = given.split([63, FEATURES, 63, 42], 1)
        assert torch.equal(h, state.h) and torch.equal(f, features)
        assert torch.equal(evidence.view(3, 21, 2), state.evidence_2d)
        torch.testing.assert_close(joints.view(3, 21, 3), posed_hand(hand, state.h).joints, rtol=1e-4, atol=1e-4)
    assert not torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("hidden", [0, 8])
def test_the_estimator_gets_exactly_the_inputs_of_equation_4(hand, inputs, hidden):
    features, peaks = inputs
    regressor = make(hand, hidden=hidden)
    seen = inputs_of(regressor.estimate)
    states = regressor(hand, features, peaks)
    assert len(seen) == 3
    for given, state in zip(seen, states[:3], strict=True):
        f, evidence, h = given.split([FEATURES, 42, 63], 1)
        assert torch.equal(h, state.h) and torch.equal(f, features)
        assert torch.equal(evidence.view(3, 21, 2), state.evidence_2d)


def test_the_numbers_of_h_are_in_the_order_of_its_parts(hand, inputs):
    """Row r of E3D's last layer moves number r of h, and that one alone."""
    features, peaks = inputs
    for name, row in (("pose", 0), ("shape", 45), ("quaternion", 55), ("scale", 59), ("translation", 60)):
        regressor = make(hand, iterations=1)
        with torch.no_grad():
            for weight in regressor.parameters():
                weight.zero_()
            regressor.estimate.bias[row] = 0.5
        before, after = regressor(hand, features, peaks)
        parts = zip(MeshParameters.split(before.h)._asdict().items(), MeshParameters.split(after.h), strict=True)
        for (part, old), new in parts:
            moved = (new - old).abs() > 1e-6
            assert moved.any() == (part == name)
            if part == name:
                assert moved[:, 0].all() and not moved[:, 1:].any()


def test_weights_are_the_same_in_every_iteration(hand):
    one, five = Regressor(hand, FEATURES, iterations=1), Regressor(hand, FEATURES, iterations=5)
    assert sum(p.numel() for p in one.parameters()) == sum(p.numel() for p in five.parameters())
    assert one.state_dict().keys() == five.state_dict().keys()


# ---- rotations


@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-7, 1e-3, 1.0, 1e6, 1e15])
def test_rotation_is_one_whatever_the_network_says(hand, inputs, length):
    """Quaternions of every length, zero included: an orthogonal matrix, a finite hand and finite gradients."""
    features, peaks = inputs
    regressor = make(hand, iterations=1)
    with torch.no_grad():
        for weight in regressor.parameters():
            weight.zero_()
        direction = torch.tensor([0.1, -0.7, 0.5, 0.5])
        regressor.estimate.bias[55:59] = length * direction - regressor.start[55:59]
    last = regressor(hand, features, peaks)[-1]
    camera = MeshParameters.split(last.h).camera
    rotation = camera.rotation()
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(3, 3, 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(3), rtol=0, atol=1e-5)
    assert torch.isfinite(last.joints).all()
    last.joints.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in regressor.parameters() if p.grad is not None)


def test_a_hand_that_is_far_from_any_hand_is_still_finite(hand, generator):
    """Random outputs hundreds of times larger than sensible ones."""
    torch.manual_seed(0)
    regressor = Regressor(hand, FEATURES)
    with torch.no_grad():
        for weight in regressor.parameters():
            weight.normal_(std=100)
    states = regressor(hand, torch.randn(8, FEATURES, generator=generator), torch.rand(8, 21, 2, generator=generator))
    states[-1].joints.sum().backward()
    assert all(torch.isfinite(state.joints).all() for state in states)
    assert all(torch.isfinite(p.grad).all() for p in regressor.parameters() if p.grad is not None)
    assert states[-1].h.detach().abs().max() > 1000


# ---- without 2D evidence


def test_without_2d_evidence_e3d_sees_features_and_h_alone(hand, inputs):
    """Kanazawa et al.: 2048 + 63 → 63. j2D of the states is the skeleton's own projection."""
    features, _ = inputs
    assert Regressor(hand, 2048, refine_2d=False, evidence_2d=False).estimate.weight.shape == (63, 2111)
    regressor = make(hand, refine_2d=False, evidence_2d=False)
    seen = inputs_of(regressor.estimate)
    states = regressor(hand, features, None)
    assert len(states) == 4 and not torch.equal(states[0].h, states[3].h)
    for state in states:
        assert torch.equal(state.evidence_2d, state.joints[..., :2])
    for given, state in zip(seen, states[:3], strict=True):
        assert torch.equal(given, torch.cat([features, state.h], 1))


def test_without_2d_evidence_there_is_nothing_to_refine(hand):
    with pytest.raises(ValueError, match="nothing for the 2D pose refiner to refine"):
        Regressor(hand, FEATURES, evidence_2d=False)


def test_a_refiner_that_is_not_used_is_not_trained(hand):
    names = {name for name, p in make(hand, refine_2d=False).named_parameters() if p.requires_grad}
    assert names == {"estimate.weight", "estimate.bias"}
