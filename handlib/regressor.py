"""E3D and its 2D pose refiner (Sec. 3.2): from evidence to the 63 numbers of a hand, in a few steps.

Everything is in crop coordinates. Eq. 4 and 5: h(k+1) = h(k) + E3D(F, j2D(k), h(k)). Eq. 6: j2D(k+1) = Ref(h(k), F,
Reg(m(h(k))), j2D(k)). The same weights serve every step. Without 2D evidence E3D sees F and h(k) alone, which is the
iterative regression of Kanazawa et al. (CVPR 2018).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .hand import HandModel
from .output import Iteration
from .parameters import SIZE, MeshParameters, posed_skeleton

JOINTS_2D, JOINTS_3D = 42, 63


def _layers(inputs: int, outputs: int, hidden: int) -> nn.Module:
    """The paper's single layer, or, with `hidden` > 0, two hidden layers of that width."""
    if hidden == 0:
        return nn.Linear(inputs, outputs)
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )


class Regressor(nn.Module):
    """Iterative regression from h(0).

    features: length of F(x). hidden: 0 for the single layers of the paper. iterations: 3 in the paper. refine_2d: the
    2D pose refiner of Eq. 6; without it j2D stays what the heat maps said. evidence_2d: whether E3D sees j2D.
    """

    def __init__(
        self,
        hand: HandModel,
        features: int,
        hidden: int = 0,
        iterations: int = 3,
        refine_2d: bool = True,
        evidence_2d: bool = True,
    ):
        super().__init__()
        if refine_2d and not evidence_2d:
            raise ValueError(
                "without 2D evidence there is nothing for the 2D pose refiner to refine: switch it off too"
            )
        self.iterations, self.has_refiner, self.sees_evidence = iterations, refine_2d, evidence_2d
        self.estimate = _layers(features + JOINTS_2D * evidence_2d + SIZE, SIZE, hidden)
        self.refiner = _layers(SIZE + features + JOINTS_3D + JOINTS_2D, JOINTS_2D, hidden)
        self.refiner.requires_grad_(refine_2d)  # one that is not used stays as it is, and no optimizer waits for it
        self.register_buffer("start", MeshParameters.initial(hand))
        for last in (_last(self.estimate), _last(self.refiner)):
            nn.init.normal_(last.weight, std=1e-3)  # so that the first steps stay near h(0) and j2D
            nn.init.zeros_(last.bias)

    def next_evidence_2d(self, features: Float[Tensor, "b c"], state: Iteration) -> Float[Tensor, "b 21 2"]:
        """j2D(k+1), by Ref of Eq. 6, whose output is an offset to j2D(k): for a single layer the same family of maps,
        better started."""
        h, evidence, joints = state.h, state.evidence_2d, state.joints
        inputs = torch.cat([h, features, joints.flatten(1), evidence.flatten(1)], 1)
        return evidence + self.refiner(inputs).unflatten(1, (21, 2))

    def forward(
        self, hand: HandModel, features: Float[Tensor, "b c"], evidence_2d: Float[Tensor, "b 21 2"] | None
    ) -> list[Iteration]:
        """The states 0 … iterations; the last one is the estimate.

        evidence_2d: j2D(0), or None without 2D evidence: j2D(k) of the states is then the skeleton's own projection.
        """
        h = self.start.expand(features.shape[0], -1)
        states = [_state(hand, h, evidence_2d)]
        for _ in range(self.iterations):
            state = states[-1]
            seen = [state.evidence_2d.flatten(1)] if self.sees_evidence else []
            step = self.estimate(torch.cat([features, *seen, state.h], 1))
            evidence = self.next_evidence_2d(features, state) if self.has_refiner else evidence_2d
            states.append(_state(hand, state.h + step, evidence))
        return states


def _state(hand: HandModel, h: Float[Tensor, "b 63"], evidence_2d: Float[Tensor, "b 21 2"] | None) -> Iteration:
    joints = posed_skeleton(hand, h)
    return Iteration(h, joints[..., :2] if evidence_2d is None else evidence_2d, joints)


def _last(module: nn.Module) -> nn.Linear:
    return module if isinstance(module, nn.Linear) else module[-1]
