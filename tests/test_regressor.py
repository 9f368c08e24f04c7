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
