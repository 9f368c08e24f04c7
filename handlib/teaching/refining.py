"""Assignment 5: training and refinement. The switch of Eq. 12, a step of Eq. 13, and a refinement that helps."""

import torch
from torch import Generator

from ..parameters import MeshParameters, posed_skeleton
from .compare import as_tensor
from .exercise import Assignment, exercise
from .hand import open_hand

# ---- A5.1


def _blunders(generator: Generator) -> tuple:
    errors = 12 * torch.rand(173, 21, generator=generator) * (0.5 + 1.5 * torch.rand(173, 1, generator=generator))
    errors[::5, 8] = 300.0  # a fingertip that is far off
    return errors, 8.0


@exercise("A5.1", _blunders, points=2, gives="fraction")
def fraction_under(errors, T):
    """Compute the fraction of images under the threshold of Eq. 12.

    `errors` (b, 21) are distances of the projected joints from the true ones, in pixels. An image is under T if the
    **mean** over its joints is at most T. Return one number from 0 to 1.
    """
    return (errors.mean(1) <= T).float().mean()


@fraction_under.mistake("this counts joints: the mean over an image's joints decides")
def _(errors, T):
    return (errors <= T).float().mean()


@fraction_under.mistake("this takes the median, which a blunder does not move: Eq. 12 has the mean")
def _(errors, T):
    return (errors.median(1).values <= T).float().mean()


@fraction_under.mistake("this wants every joint under T: Eq. 12 has the mean")
def _(errors, T):
    return (errors <= T).all(1).float().mean()


# ---- A5.2


def _objective(generator: Generator) -> tuple:
    target = torch.randn(63, generator=generator)
    h = torch.randn(4, 63, generator=generator)
    return h, lambda x: (x - target).square().sum(1) + x.sin().sum(1), 0.1


@exercise("A5.2", _objective, points=3, gives="h")
def step(h, objective, rate):
    """Take one step of Eq. 13: plain gradient descent on h.

    `h` (b, 63); `objective(h)` gives a number for each hand (b); `rate` is the step size γ. Each hand moves as if it
    were alone, however many others there are. Return the new h, without a gradient.
    """
    h = h.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(h).sum(), h)
    return (h - rate * gradient).detach()


@step.mistake("the step goes uphill: subtract the gradient")
def _(h, objective, rate):
    return 2 * h - step(h, objective, rate)


@step.mistake("the step depends on how many hands there are: take the sum of the objectives, not the mean")
def _(h, objective, rate):
    return step(h, objective, rate / len(h))


@step.mistake("nothing has moved")
def _(h, objective, rate):
    return h


# ---- A5.3


def _held_out(generator: Generator) -> tuple:
    hand, n = open_hand(), 8
    pose, shape = hand.sample(n, generator)
    parts = MeshParameters.split(MeshParameters.initial(hand).expand(n, 63))
    truth = parts._replace(pose=pose, shape=shape).join()
    sizes = {"pose": (45, 0.12), "shape": (10, 0.5), "quaternion": (4, 0.05), "scale": (1, 0.03), "place": (3, 0.08)}
    noise = torch.cat([torch.full((count,), size) for count, size in sizes.values()])
    h = truth + noise * torch.randn(n, 63, generator=generator)
    joints = posed_skeleton(hand, truth)
    j2d = joints[..., :2] + 0.01 * torch.randn(n, 21, 2, generator=generator)
    return hand, h, j2d, posed_skeleton, joints


def _error_falls(answer, hand, h, j2d, skeleton, joints) -> str | None:
    given = as_tensor(answer, h.shape)
    if isinstance(given, str):
        return f"h of shape {tuple(h.shape)} is asked for; {given}"
    before, after = ((skeleton(hand, x) - joints).norm(dim=-1).mean(1) for x in (h, given))
    if not torch.isfinite(after).all():
        return "an h is NaN or infinite: is the step too large?"
    rose = int((after > before).sum())
    if after.mean() <= 0.8 * before.mean():
        return None
    said = f"the error goes from {before.mean():.3f} to {after.mean():.3f} crop units, which is not enough"
    if rose:
        return f"{said}, and rises for {rose} of {len(h)} hands: is depth, which no 2D joint sees, running away?"
    return f"{said}: at most {0.8 * before.mean():.3f} is asked for"


@exercise("A5.3", _held_out, judge=_error_falls, points=5, trials=2, hidden=1)
def refined(hand, h, j2d, skeleton):
    """Refine estimates so that their error falls.

    `h` (b, 63) are estimates, `j2d` (b, 21, 2) the joints that were found in the image, in crop units and a little
    off; `skeleton(hand, h)` gives the joints of the mesh (b, 21, 3) in the same units. Return better h (b, 63). It is
    graded on hands that you do not see: the mean error of your joints must be at least 20 % below that of the
    estimates.
    """
    h = h.clone().requires_grad_()
    start = h.detach()
    optimizer = torch.optim.Adam([h], 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        off = (skeleton(hand, h)[..., :2] - j2d).square().sum((1, 2))
        (off + 0.02 * (h - start).square().sum(1)).sum().backward()
        optimizer.step()
    return h.detach()


A5 = Assignment(
    "A5",
    "Training and refinement",
    "refinement",
    (fraction_under, step, refined),
    rubric=((2, "The curve of the fraction under T is shown with the error, and read."),),
)


# ---- exercises of the chapters


@exercise(
    "training-processes", lambda g: (torch.rand(3, generator=g), torch.randint(1, 9, (3,), generator=g)), gives="loss"
)
def batch_loss(means, sizes):
    """Compute the mean loss of a batch from the mean losses of its parts, `means` (p), and their `sizes` (p)."""
    return (means * sizes).sum() / sizes.sum()


@batch_loss.mistake("the mean of means counts each image of a small part more")
def _(means, sizes):
    return means.mean()


@exercise("refinement-depth", lambda g: (torch.randn(4, 21, 3, generator=g),), gives="skeleton")
def mirrored_in_depth(joints):
    """Mirror joints (b, 21, 3) in depth about the root, joint 9; x and y stay."""
    mirrored = joints.clone()
    mirrored[..., 2] = 2 * joints[:, 9:10, 2] - joints[..., 2]
    return mirrored


@mirrored_in_depth.mistake("this mirrors about zero: the root must stay where it is")
def _(joints):
    return joints * torch.tensor([1.0, 1, -1])


@exercise("augmentation-count", lambda g: (torch.rand(10, generator=g) < 0.7, 3), gives="number")
def instances(usable, per_seed):
    """Say how many new instances augmentation makes of seeds; `usable` (n) says which are usable."""
    return int(usable.sum()) * per_seed


@instances.mistake("seeds that are not usable have no instances")
def _(usable, per_seed):
    return len(usable) * per_seed


CHAPTER = (batch_loss, mirrored_in_depth, instances)
