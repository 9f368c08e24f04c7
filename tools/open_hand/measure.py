"""The acceptance criteria of the open hand: each has bounds and a measured value."""

from typing import NamedTuple

import numpy as np
import torch

from handlib import HandModel
from handlib.hand.collision import penetration_depth
from handlib.hand.files import PARENTS
from handlib.hand.joints import FINGERS, FINGERTIPS, MANO16, TIPS
from handlib.hand.model import TOLERATED_PENETRATION

from . import geometry, poses, prior, shapes
from .build import Build
from .contact import Contact
from .correctives import posed
from .girth import breadth_and_depth
from .named import definitions, landmark
from .numbering import WRIST_LOOP
from .skinning import rotations
from .variation import WRIST

SAMPLES, SEED = 256, 0
INFINITE = float("inf")
# Breadth and depth in millimeters of fingers at their joints: means of British men and women, Pheasant and Haslegrave,
# "Bodyspace", 3rd ed., 2006 (hand length 181.5): index PIP 19.5 × 17.5, thumb IP 21. The bounds around them, and
# those of the DIP at about 0.85 of the PIP, are our own.
GIRTHS = {
    ("index", 2): ((18.0, 21.5), (16.0, 20.0)),
    ("middle", 2): ((18.0, 21.5), (16.0, 20.5)),
    ("index", 3): ((15.5, 19.0), (13.5, 17.5)),
    ("middle", 3): ((15.5, 19.0), (13.5, 17.5)),
    ("thumb", 3): ((19.0, 24.0), (16.0, 22.0)),
}


class Criterion(NamedTuple):
    name: str
    low: float
    high: float
    value: float
    unit: str = ""

    @property
    def passed(self) -> bool:
        return self.low <= self.value <= self.high  # false for NaN

    @property
    def bound(self) -> str:
        if self.low == self.high:
            return f"{self.low:g}"
        if self.low == -INFINITE:
            return "" if self.high == INFINITE else f"≤ {self.high:.3g}"
        return f"≥ {self.low:g}" if self.high == INFINITE else f"{self.low:g} … {self.high:g}"


def at_most(name: str, high: float, value: float, unit: str = "") -> Criterion:
    return Criterion(name, -INFINITE, high, float(value), unit)


def at_least(name: str, low: float, value: float, unit: str = "") -> Criterion:
    return Criterion(name, low, INFINITE, float(value), unit)


def exactly(name: str, expected: float, value: float, unit: str = "") -> Criterion:
    return Criterion(name, expected, expected, float(value), unit)


def all_of_the_asset(fields: dict[str, np.ndarray], hand: HandModel) -> list[Criterion]:
    """Returns all criteria that need only the asset; `hand` is the model made from `fields`."""
    axes = rest_axes(hand)
    contact = Contact(fields["v_template"].astype(float), fields["f"].astype(int), fields["weights"])
    return [
        *topology(fields),
        *binding(fields),
        *frame(hand),
        *sizes(fields, hand),
        *girths(fields, hand),
        *deformation(hand, contact),
        *pose_space(fields, axes),
        *named(hand, axes, contact),
    ]


def rest_axes(hand: HandModel) -> np.ndarray:
    joints = hand.regress_joints(hand.template).double().numpy()
    tips = dict(zip(FINGERS, joints[list(TIPS)], strict=True))
    return poses.joint_axes(_mano_joints(hand), tips)


def _mano_joints(hand: HandModel) -> np.ndarray:
    joints = hand.regress_joints(hand.template).double().numpy()
    return joints[[hand.names.index(name) for name in MANO16.joints]]


def topology(fields: dict[str, np.ndarray]) -> list[Criterion]:
    faces, n = fields["f"].astype(int), len(fields["v_template"])
    directed = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    repeated = len(directed) - len(np.unique(directed, axis=0))
    loops = [[]] if repeated else geometry.boundary_loops(faces)
    ring = np.array(WRIST_LOOP)
    sealing = {(int(b), int(a)) for a, b in zip(loops[0], np.roll(loops[0], -1), strict=True)}
    public = set(zip(ring.tolist(), np.roll(ring, -1).tolist(), strict=True))
    quality = geometry.triangle_quality(fields["v_template"].astype(float), faces)
    return [
        exactly("vertices", 778, n),
        exactly("faces", 1538, len(faces)),
        exactly("Euler characteristic (a disc: 1)", 1, n - len(geometry.edges(faces)) + len(faces)),
        exactly("boundary loops", 1, len(loops)),
        exactly("edges of the wrist's loop", 16, len(loops[0])),
        exactly("edges of it that are not on MANO's public numbers", 0, len(sealing ^ public)),
        exactly("edges that two faces run through the same way", 0, repeated),
        at_least("triangle quality, lowest", 0.2, quality.min()),
        at_least("triangle quality, 1st percentile", 0.4, np.percentile(quality, 1)),
    ]


def binding(fields: dict[str, np.ndarray]) -> list[Criterion]:
    parents = fields["kintree_table"][0].astype(np.uint32).astype(np.int32)[1:]
    criteria = [exactly("joints with another parent than MANO's", 0, (parents != PARENTS[1:]).sum())]
    for key in ("weights", "J_regressor"):
        rows = fields[key].astype(float)
        criteria += [
            at_least(f"{key}, lowest", 0, rows.min()),
            at_most(f"{key}, |sum − 1|", 1e-6, np.abs(rows.sum(1) - 1).max()),
        ]
    return [*criteria, at_most("weights of a vertex that are not zero", 5, (fields["weights"] > 0).sum(1).max())]


def frame(hand: HandModel) -> list[Criterion]:
    joints = dict(zip(hand.names, 1e3 * hand.regress_joints(hand.template).double().numpy(), strict=True))
    fingers = FINGERS[1:]
    lowest = []
    for finger in fingers:
        for number in (1, 2, 3):
            pose = torch.zeros(15, 3)
            pose[MANO16.index(f"{finger}{number}") - 1, 2] = 0.5
            tip = 1e3 * hand(pose.flatten(), torch.zeros(10)).joints[hand.names.index(f"{finger}4")]
            lowest.append(float(tip[1]) - joints[f"{finger}4"][1])
    normals = geometry.vertex_normals(hand.template.double().numpy(), hand.faces.numpy())
    over = np.argmin(np.linalg.norm(hand.template.numpy() - joints["middle1"] / 1e3 - [0, 0.02, 0], axis=1))
    public = [FINGERTIPS[name].vertices for name in ("smplx", "manopth")]
    tips = np.stack([hand.template.double().numpy()[list(vertices)] for vertices in public])
    apart = 1e3 * np.linalg.norm(tips[:, None] - tips[None], axis=-1)
    return [
        at_most("wrist from MANO's", 0.5, np.linalg.norm(joints["wrist"] - 1e3 * WRIST), "mm"),
        at_least("fingers towards −x", 40, min(joints[f"{f}1"][0] - joints[f"{f}4"][0] for f in fingers), "mm"),
        at_least("normal of the back along +y", 0.9, normals[over, 1]),
        at_least("thumb's tip towards +z of the index's", 10, joints["thumb4"][2] - joints["index4"][2], "mm"),
        at_most("a tip's way in y by +z flexion of 0.5 rad", -5, max(lowest), "mm"),
        at_most("tips of smplx and of manopth apart", 5, apart[0, 1].max(), "mm"),
    ]


def sizes(fields: dict[str, np.ndarray], hand: HandModel) -> list[Criterion]:
    generator = torch.Generator().manual_seed(SEED)
    shape = torch.randn(4000, 10, generator=generator)
    wrist, tip = hand.names.index("wrist"), hand.names.index("middle4")

    def length(shape):
        joints = hand.skeleton(torch.zeros(len(shape), 45), shape)
        return 1e3 * (joints[:, wrist] - joints[:, tip]).norm(dim=-1)

    zero = length(torch.zeros(1, 10))
    rms = 1e3 * np.sqrt((fields["shapedirs"].astype(float) ** 2).sum(1).mean(0))
    return [
        Criterion("length at zero", 183, 187, float(zero), "mm"),
        Criterion("length over N(0,1) shapes, deviation", 10, 14, float(length(shape).std()), "mm"),
        at_least("length gained by the first component", 5, length(torch.eye(10)[:1]) - zero, "mm"),
        at_least("smallest component, RMS over the vertices", 0.25, rms.min(), "mm"),
    ]


def girths(fields: dict[str, np.ndarray], hand: HandModel) -> list[Criterion]:
    criteria = []
    for (finger, number), bounds in GIRTHS.items():
        measured = breadth_and_depth(
            fields["v_template"].astype(float), fields["f"].astype(int), fields["weights"], _mano_joints(hand),
            finger, number,
        )  # fmt: skip
        joint = "IP" if finger == "thumb" else ("PIP", "DIP")[number - 2]
        for what, (low, high), value in zip(("breadth", "depth"), bounds, measured, strict=True):
            criteria.append(Criterion(f"{finger} {joint} {what}", low, high, 1e3 * value, "mm"))
    return criteria


def deformation(hand: HandModel, contact: Contact) -> list[Criterion]:
    """Compares `SAMPLES` sampled hands with the same shapes at rest, and tests whether they intersect themselves."""
    pose, shape = hand.sample(SAMPLES, torch.Generator().manual_seed(SEED))
    out = hand(pose, shape)
    bent, rest = out.vertices.double().numpy(), hand(torch.zeros_like(pose), shape).vertices.double().numpy()
    faces = hand.faces.numpy()
    loop = geometry.boundary_loops(faces)[0]
    ratio = geometry.volume(bent, faces, loop) / geometry.volume(rest, faces, loop)
    a, b = geometry.edges(faces).T
    stretch = np.linalg.norm(bent[:, a] - bent[:, b], axis=-1) / np.linalg.norm(rest[:, a] - rest[:, b], axis=-1)
    bones = penetration_depth(out.joints, hand.bone_radii).numpy()
    meshes = np.array([contact.depth(vertices) for vertices in bent])
    return [
        at_least("volume of rest, 5th percentile", 0.95, np.percentile(ratio, 5)),
        at_least("volume of rest, lowest", 0.92, ratio.min()),
        at_most("edge stretch, 99.9th percentile", 1.8, np.percentile(stretch, 99.9)),
        at_most("samples with bones deeper than 1 mm", 2, 100 * (bones > TOLERATED_PENETRATION + 1e-6).mean(), "%"),
        at_most("samples with meshes deeper than 1 mm", 2, 100 * (meshes > TOLERATED_PENETRATION).mean(), "%"),
    ]


def pose_space(fields: dict[str, np.ndarray], axes: np.ndarray) -> list[Criterion]:
    components = fields["hands_components"].astype(float)
    drawn = fields["hands_mean"] + fields["hands_coeffs"].astype(float) @ components
    variance = np.sort(np.linalg.eigvalsh(np.cov(drawn.T)))[::-1]
    low, high = prior.ranges()
    angles = poses.to_angles(drawn, axes)
    return [
        at_most("components, |C Cᵀ − 1|", 1e-5, np.abs(components @ components.T - np.eye(45)).max()),
        at_least("variance in 15 components", 98, 100 * variance[:15].sum() / variance.sum(), "%"),
        at_least("smallest deviation of a direction", 0.3, np.rad2deg(np.sqrt(max(variance[-1], 0))), "°"),
        at_most("pose samples beyond the ranges of motion", 0.1, np.maximum(low - angles, angles - high).max(), "°"),
    ]


def named(hand: HandModel, axes: np.ndarray, contact: Contact) -> list[Criterion]:
    low, high = prior.ranges()
    defined, criteria = definitions(), []
    criteria.append(exactly("named poses missing", 0, len(set(defined) - set(hand.named_poses))))
    beyond, deepest, gap = 0.0, 0.0, 0.0
    for name, pose in hand.named_poses.items():
        vertices = hand(pose, torch.zeros(10)).vertices.double().numpy()
        angles = poses.to_angles(pose.double().numpy(), axes)
        beyond = max(beyond, np.maximum(low - angles, angles - high).max())
        deepest = max(deepest, contact.depth(vertices))
        for a, b in defined[name].touching:
            gap = max(gap, contact.gap(vertices, _part(a), _part(b)))
            if name == "pinch":
                apart = np.linalg.norm(vertices[landmark(hand, axes, a)] - vertices[landmark(hand, axes, b)])
                criteria.append(at_most("gap between the pads of the pinch", 2, 1e3 * apart, "mm"))
    return [
        *criteria,
        at_most("named poses beyond the ranges of motion", 0.1, beyond, "°"),
        at_most("named poses, deepest overlap", 1, 1e3 * deepest, "mm"),
        at_most("named poses, widest gap where digits touch", 2, 1e3 * gap, "mm"),
    ]


def _part(landmark_name: str) -> int:
    """Returns the part of `contact.parts` of a landmark such as "index pad"."""
    finger, what = landmark_name.split()
    return 0 if what == "palm" else 1 + FINGERS.index(finger)


def against_the_source(built: Build, fields: dict[str, np.ndarray]) -> list[Criterion]:
    """Returns the criteria that need a new build; `fields` are those of the shipped asset."""
    rng = np.random.default_rng(SEED)
    faces = fields["f"].astype(int)
    points = geometry.sample_surface(built.source_vertices, built.source_faces, 20000, rng)
    points = np.concatenate([points, built.source_vertices])
    surface = 1e3 * geometry.surface_distance(points, fields["v_template"].astype(float), faces)
    joints = 1e3 * shapes.joint_errors(
        fields["J_regressor"].astype(float), built.held_out.vertices, built.held_out.joints
    )
    target = built.target(rotations(built.held_out_poses))
    errors = [
        1e3 * np.linalg.norm(posed(built.target, directions, built.held_out_poses) - target, axis=-1)
        for directions in (None, fields["posedirs"].astype(float))
    ]
    differences = [
        np.abs(value.astype(float) - fields[key].astype(float)).max()
        for key, value in built.fields.items()
        if value.dtype.kind in "fiu"
    ]
    return [
        at_most("surface of the source, mean distance", 0.15, surface.mean(), "mm"),
        at_most("surface of the source, largest distance", 2, surface.max(), "mm"),
        at_most("joint regressor on held-out shapes, mean", 1, joints.mean(), "mm"),
        at_most("joint regressor on held-out shapes, worst", 3, joints.max(), "mm"),
        at_most("held-out poses without correctives, mean", INFINITE, errors[0].mean(), "mm"),
        at_most("held-out poses with correctives, mean", 0.5 * errors[0].mean(), errors[1].mean(), "mm"),
        at_most("a second build differs by (meters, radians, shares)", 1e-5, max(differences)),
    ]
