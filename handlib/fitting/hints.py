"""What else might explain the joints of a fit: another order, the other side, a camera of another size.

Energies of the posterior (posterior.py) are compared, in nats. Hands of one call come from one source, so their gains
add up: one hand seldom tells which side it is, since its mirror image looks alike in all but perspective and the way
that fingers bend; eight hands do.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from ..hand.joints import C21, INTERHAND21, MANO21, RHD21, STB21, convert
from .posterior import Observation, Posterior, State, root_cam
from .solver import descend

HANDS = 8  # looked at
GOOD, BAD = 6.0, 25.0  # energy a hand: below nothing is asked; above, whether the joints are in another order
MUCH = 10.0  # by which an explanation must be better, over all hands that are looked at
STEPS, LEAST = 10, 5.0  # of a descent; one that ended at a bad hand costs no more than so much
ORDERS = (RHD21, STB21, MANO21, INTERHAND21)
FAR = 10.0  # meters; no hand is seen so far away


def hint(
    posterior: Posterior,
    state: State,
    side: str,
    mirrored: Observation,
    fit_again: Callable[[Observation], Float[Tensor, " n"]],
) -> str | None:
    """What explains the joints of these hands much better, and so what to do; or None.

    mirrored: the same hands in the mirror x → −x. fit_again: energies of a whole fit to other observations. Another
    side and other cameras start where this fit ended, since under a distant camera a hand and the mirror image of the
    hand that is turned by 180° about y look alike.
    """
    few = slice(0, HANDS)
    posterior, state, mirrored = posterior.take(few), state.take(few), mirrored.take(few)
    seen, tried = posterior.seen, {}
    if seen.K is not None and root_cam(state.place, seen.K)[:, 2].median() > FAR:
        return f"K puts the hand more than {FAR:g} m away: give focal lengths in pixels of the image that they are in"
    energy = posterior.energy(state)
    if energy.mean() < GOOD:
        return None
    if energy.mean() > BAD:
        for order in ORDERS:
            points = convert(seen.points_px, order, C21)
            weight = convert(seen.weight[..., None], order, C21)[..., 0]
            space = None if seen.points_3d is None else convert(seen.points_3d, order, C21)
            again = fit_again(Observation(points, weight, seen.K, space))
            tried[f"they are in the order {order.name}, not C21: use handlib.hand.joints.convert"] = again
    other = "left" if side == "right" else "right"
    turn = state.rotation.new_tensor([-1.0, 1, -1])
    turned = state._replace(rotation=turn[:, None] * state.rotation, place=state.place * turn.new_tensor([-1.0, 1, 1]))
    tried[f"they are those of a {other} hand: give side='{other}'"] = _energy(posterior, mirrored, turned)
    for factor, size in ((0.5, "twice"), (2.0, "half")) if seen.K is not None else ():
        resized = seen.K.new_tensor([factor, factor, 1.0]).diag() @ seen.K
        tried[f"K is of an image {size} as large as theirs: scale one of them"] = _energy(
            posterior, seen._replace(K=resized), state
        )
    gains = {name: float((energy - other).clamp(min=-LEAST).sum()) for name, other in tried.items()}
    best = max(gains, key=gains.get)
    return best if gains[best] > MUCH else None


def _energy(posterior: Posterior, seen: Observation, state: State) -> Float[Tensor, " n"]:
    return descend(Posterior(posterior.anatomy, seen, posterior.noise), state, STEPS)[1]
