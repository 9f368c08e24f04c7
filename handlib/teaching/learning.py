"""Assignment 4: learning. A peak finer than its grid, a step of the regressor, and the number of its parameters."""

import math

import torch
from torch import Generator, nn

from .compare import difference
from .exercise import Assignment, exercise

# ---- A4.1


def _maps(generator: Generator) -> tuple:
    """Gaussians, of which the rims cut off a part, so that their centers of mass are elsewhere."""
    place = torch.arange(16) + 0.5
    center = 3 + 4 * torch.rand(5, 2, generator=generator)
    x, y = (torch.exp(-((place - center[:, axis, None]) ** 2) / 8) for axis in (0, 1))
    return (y[:, :, None] * x[:, None, :] + 1e-6,)


@exercise("A4.1", _maps, points=4, gives="peak", tolerance=1e-3)
def peaks(maps):
    """Find the peak of each heat map to a fraction of a pixel.

    `maps` (n, s, s) are positive; the highest pixel never lies on the rim. The center of the first pixel is at 0.5.
    Go from the highest pixel on to the top of the parabola through the logarithms of its value and its two neighbors',
    in x and in y. Return (n, 2) as x, y in pixels of the map.
    """
    n, s, _ = maps.shape
    best, every = maps.flatten(1).argmax(1), torch.arange(n)
    row, column = best // s, best % s
    log = maps.log()
    found = []
    for line, middle in ((log[every, row], column), (log[every, :, column], row)):
        before, center, after = (line[every, middle + step] for step in (-1, 0, 1))
        found.append(middle + 0.5 + (after - before) / (2 * (2 * center - after - before)))
    return torch.stack(found, -1)


@peaks.mistake("these are the highest pixels: go on to the top of the parabola")
def _(maps):
    s = maps.shape[-1]
    best = maps.flatten(1).argmax(1)
    return torch.stack([best % s, best // s], -1) + 0.5


@peaks.mistake("a parabola fits the logarithm of a Gaussian, not the Gaussian itself")
def _(maps):
    return peaks(maps.exp())


@peaks.mistake("this is the center of mass, which the rim of the map pulls away")
def _(maps):
    place = torch.arange(maps.shape[-1]) + 0.5
    weight = maps / maps.sum((1, 2), keepdim=True)
    return torch.stack([(weight.sum(1) * place).sum(1), (weight.sum(2) * place).sum(1)], -1)


@peaks.mistake("x and y are exchanged: x is the column")
def _(maps):
    return peaks(maps).flip(-1)


@peaks.mistake("the center of the first pixel is at 0.5")
def _(maps):
    return peaks(maps) - 0.5


# ---- A4.2


def _state(generator: Generator) -> tuple:
    def layer(inputs, outputs):
        linear = nn.Linear(inputs, outputs)
        with torch.no_grad():
            for parameter in linear.parameters():
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        return linear.requires_grad_(False)

    features = 8
    to_joints = 0.1 * torch.randn(63, 63, generator=generator)
    return (
        torch.randn(4, 63, generator=generator), torch.randn(4, features, generator=generator),
        torch.randn(4, 21, 2, generator=generator), layer(features + 105, 63), layer(features + 168, 42),
        lambda h: (h @ to_joints).unflatten(1, (21, 3)),
    )  # fmt: skip


@exercise("A4.2", _state, points=3, gives="result")
def iterate(h, features, j2d, estimate, refiner, skeleton):
    """Take one step of the regressor, Eq. 4 to 6.

    `h` (b, 63), `features` (b, f), `j2d` (b, 21, 2). `estimate` is a layer that reads features, 2D joints, h; `refiner`
    one that reads h, features, the joints of the mesh, 2D joints. Each reads its inputs side by side, in this order,
    and gives what is to be **added**. `skeleton(h)` gives the joints of the mesh (b, 21, 3). Both layers see the old
    h and the old 2D joints. Return the new h and the new 2D joints.
    """
    step = estimate(torch.cat([features, j2d.flatten(1), h], 1))
    offset = refiner(torch.cat([h, features, skeleton(h).flatten(1), j2d.flatten(1)], 1))
    return h + step, j2d + offset.unflatten(1, (21, 2))


@iterate.mistake("the refiner must see the old h, not the new one")
def _(h, features, j2d, estimate, refiner, skeleton):
    new = iterate(h, features, j2d, estimate, refiner, skeleton)[0]
    return new, iterate(new, features, j2d, estimate, refiner, skeleton)[1]


@iterate.mistake("E3D must see the old 2D joints, not the new ones")
def _(h, features, j2d, estimate, refiner, skeleton):
    new = iterate(h, features, j2d, estimate, refiner, skeleton)[1]
    return iterate(h, features, new, estimate, refiner, skeleton)[0], new


@iterate.mistake("the layers give changes: add them to h and to the 2D joints")
def _(h, features, j2d, estimate, refiner, skeleton):
    new_h, new_j2d = iterate(h, features, j2d, estimate, refiner, skeleton)
    return new_h - h, new_j2d - j2d


@iterate.mistake("E3D reads features, 2D joints, h, in this order")
def _(h, features, j2d, estimate, refiner, skeleton):
    new_j2d = iterate(h, features, j2d, estimate, refiner, skeleton)[1]
    return h + estimate(torch.cat([h, features, j2d.flatten(1)], 1)), new_j2d


# ---- A4.3


def _sizes(generator: Generator) -> tuple:
    return tuple(int(torch.randint(8, 512, (), generator=generator)) for _ in range(2))


@exercise("A4.3", _sizes, points=3, gives="number", tolerance=1e-9)
def parameters(f, w):
    """Count the parameters of a regressor: E3D and Ref, each with two hidden layers of `w` units, with `f` features.

    E3D reads features, 2D joints (42) and h (63), and gives 63 numbers. Ref reads h, features, joints of the mesh (63)
    and 2D joints, and gives 42. Each layer has a weight for every pair of input and output, and a bias for each output.
    """

    def three(inputs, outputs):
        return (inputs + 1) * w + (w + 1) * w + (w + 1) * outputs

    return three(f + 42 + 63, 63) + three(63 + f + 63 + 42, 42)


@parameters.mistake("the biases are missing: one for every output of every layer")
def _(f, w):
    return parameters(f, w) - 4 * w - 63 - 42


@parameters.mistake("two hidden layers have a layer between them, from w to w")
def _(f, w):
    return parameters(f, w) - 2 * (w + 1) * w


A4 = Assignment(
    "A4",
    "Learning",
    "regressor",
    (peaks, iterate, parameters),
    rubric=((2, "Errors on training and on new hands stand side by side, with one sentence on what each says."),),
)


# ---- exercises of the chapters


@exercise(
    "evidence-sigma",
    lambda g: (32 * torch.rand(12, 21, 2, generator=g), 1 + 3 * float(torch.rand((), generator=g))),
    gives="ratio",
)
def best_constant(joints, sigma):
    """Compute the loss of Eq. 3, relative to that of an empty map, of the *best* map that is the same for all hands.

    `joints` (n, 21, 2) are pixels of maps of 32 × 32; the targets are Gaussians of height 1 and width `sigma` around
    them. Return one number.
    """
    place = torch.arange(32) + 0.5
    x, y = (torch.exp(-((place - joints[..., i : i + 1]) ** 2) / (2 * sigma**2)) for i in (0, 1))
    maps = y[..., :, None] * x[..., None, :]
    return (maps - maps.mean(0)).square().mean() / maps.square().mean()


@best_constant.mistake("that is the loss of an empty map over itself")
def _(joints, sigma):
    return 1.0


def _not_dearest(answer) -> str | None:
    """What is wrong with a list of the layers that make the most products."""
    try:
        named, right = {answer} if isinstance(answer, str) else set(answer), set(dearest())
    except TypeError:
        return f"a list of names is asked for; yours is a {type(answer).__name__}"
    if named - right:
        return f"{min(map(repr, named - right))} makes fewer products than others"
    return f"{len(right)} layers tie, and you name {len(named)}" if named != right else None


@exercise("evidence-parameters", judge=_not_dearest)
def dearest():
    """List the names of the layers of the paper's pose machine that make the most products at 256²."""
    return ["conv1_2", "conv2_2", "conv3_2", "conv3_3", "conv3_4", "conv4_2"]


def _two_points(generator: Generator) -> tuple:
    return tuple((100 * torch.rand(2, 2, generator=generator)).tolist())


def _not_turned(answer, *points) -> str | None:
    """What is wrong with an angle; whole turns more or less are the same."""
    try:
        for message, way in {None: turn, **turn.mistakes}.items():
            if abs(math.remainder(float(answer) - way(*points), math.tau)) < 1e-4:
                return message
    except (TypeError, ValueError, RuntimeError):
        pass  # no number, or infinite
    return difference(answer, turn(*points), "angle")


@exercise("photographs-turn", _two_points, judge=_not_turned)
def turn(wrist, middle):
    """Give the angle in radians, clockwise in the image, by which a crop must be turned so that the base of the middle
    finger lies straight above the wrist. Both are pixels (x, y), y down."""
    return math.atan2(middle[0] - wrist[0], wrist[1] - middle[1])


@turn.mistake("the turn goes the other way: y points down in an image")
def _(wrist, middle):
    return math.atan2(middle[0] - wrist[0], middle[1] - wrist[1])


@turn.mistake("that is the angle from the x axis: a hand that points up needs no turn")
def _(wrist, middle):
    return math.atan2(middle[1] - wrist[1], middle[0] - wrist[0])


@exercise("photographs-depth", lambda g: tuple((0.3 + torch.rand(3, generator=g)).tolist()), gives="depth")
def corrected(depth, assumed, true):
    """Correct a depth in meters that was estimated with the focal length `assumed`, now that it is `true`."""
    return depth * true / assumed


@corrected.mistake("a longer focal length means a hand farther away, not nearer")
def _(depth, assumed, true):
    return depth * assumed / true


def _refiner(generator: Generator) -> tuple:
    return (_state(generator)[4],)


def _adds(answer, refiner) -> str | None:
    if not isinstance(answer, nn.Linear):
        return f"a Linear is asked for; yours is a {type(answer).__name__}"
    if (given := (answer.in_features, answer.out_features)) != (wanted := (refiner.in_features, 42)):
        return "a Linear of {} inputs and {} outputs is asked for; yours has {} and {}".format(*wanted, *given)
    x = torch.randn(5, refiner.in_features, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        off = float((answer(x) - x[:, -42:] - refiner(x)).abs().max())
    return None if off < 1e-3 else f"your layer differs from j2D plus the refiner's offset by up to {off:.2g}"


@exercise("regressor-offset", _refiner, judge=_adds)
def direct(refiner):
    """Turn a layer that gives an offset to its last 42 inputs into one that gives the sum; return a `Linear`."""
    layer = nn.Linear(refiner.in_features, 42)
    with torch.no_grad():
        layer.weight.copy_(refiner.weight)
        layer.weight[:, -42:] += torch.eye(42)
        layer.bias.copy_(refiner.bias)
    return layer


CHAPTER = (best_constant, dearest, turn, corrected, direct)
