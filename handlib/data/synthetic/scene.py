"""Everything in front of the camera as one mesh: the hand with forearm and sleeve, objects, arms, a second hand.

The meshes of a batch share their faces (props.py), which are built once per hand model. Camera frame, meters.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from ...camera import quaternion_to_rotation
from ...hand import HandModel
from ...hand.joints import BONES, C21, MANO16, MIDDLE_MCP, TIPS
from ...hand.mesh import boundary_loop, vertex_normals
from ..sample import OTHER, PARTS
from .appearance import BLUSH, REFLECTANCE, Light, occlusion, relief, skin_tone, to_linear
from .draws import Draws
from .motion import Motion, free_pose
from .props import (
    ARM_RINGS,
    SLEEVE_RINGS,
    SOLID_RINGS,
    SOLID_SIDES,
    TUBE_RINGS,
    TUBE_SIDES,
    forearm,
    grid_faces,
    sleeve,
    solid,
    tube,
)
from .settings import Setting

SPHERES = 3  # per bone, for the shadows of a hand on itself
SMALLEST_GRIP = 0.008  # meters; a tighter grip holds nothing


class Subjects(NamedTuple):
    """The people of a batch: shape and skin of their hands."""

    shape: Float[Tensor, "b 10"]
    tone: Float[Tensor, " b"]  # 0 … 9 on the Monk scale
    tint: Float[Tensor, "b 3"]
    gloss: Float[Tensor, " b"]
    blotch: Float[Tensor, "b 4 4"]  # waves over the hand that make the skin redder

    @classmethod
    def of(cls, key: str, number: Tensor, count: int) -> "Subjects":
        """Draws people by their numbers; tones are spread evenly over all `count` of them."""
        draws = Draws(f"{key} subject", number)
        shape = draws.normal(10).clamp(-2.5, 2.5)
        first = Draws(f"{key} first tone", torch.zeros_like(number)).uniform()
        tone = 9 * ((number * 0.6180339887498949 + first) % 1) if count > 1 else 9 * first
        return cls(
            shape, tone.float(), draws.uniform(3, low=0.93, high=1.08), draws.uniform(high=0.15), draws.normal(4, 4)
        )


class Scene(NamedTuple):
    """The mesh in front of the camera, and the joints of the hand."""

    vertices: Float[Tensor, "b v 3"]
    colors: Float[Tensor, "b v 3"]  # linear light
    joints: Float[Tensor, "b 21 3"]


class Stage:
    """The constants of all scenes with one hand model: faces, parts, and which spheres shade which vertices."""

    def __init__(self, hand: HandModel):
        self.hand = hand
        self.rim = boundary_loop(hand.faces)
        device, n = hand.faces.device, len(self.rim)
        arm = grid_faces(ARM_RINGS + 1, n)
        solid_faces, tube_faces = grid_faces(SOLID_RINGS, SOLID_SIDES), grid_faces(TUBE_RINGS, TUBE_SIDES)
        pieces = [  # faces and number of vertices, in the order of `__call__`
            (hand.faces.cpu(), 778), (arm, (ARM_RINGS + 1) * n), (grid_faces(SLEEVE_RINGS, n), SLEEVE_RINGS * n),
            *[(solid_faces, SOLID_RINGS * SOLID_SIDES)] * 4, (tube_faces, TUBE_RINGS * TUBE_SIDES),
            (hand.faces.cpu(), 778), (arm, (ARM_RINGS + 1) * n),
        ]  # fmt: skip
        faces, start = [], 0
        for face, count in pieces:
            faces.append(face + start)
            start += count
        self.faces = torch.cat(faces).to(device)
        owner = hand.weights.argmax(1)
        codes = [PARTS.index(name) for name in MANO16.joints]
        corner = torch.tensor(codes, device=device)[owner[hand.faces]]
        self.part = torch.full((len(self.faces),), OTHER, device=device)
        # A face belongs to the part of at least two of its corners.
        self.part[: len(hand.faces)] = torch.where(corner[:, 1] == corner[:, 2], corner[:, 1], corner[:, 0])
        self.apart = _apart(owner)
        self.ends = torch.tensor(BONES, device=device)
        self.relief = relief(hand.vertex_colors)
        self.waves = 40 * hand.template @ torch.randn(3, 4, generator=torch.Generator().manual_seed(2)).to(device)

    def __call__(self, setting: Setting, draws: Draws, subjects: Subjects, motion: Motion) -> Scene:
        b = len(motion.pose)
        mesh, joints = self._placed(motion.pose, subjects.shape, motion.rotation, motion.root)
        lamp = _light(draws)
        spheres, radii = self._spheres(joints)
        skin = self._skin(subjects)
        plain = skin[:, self.rim].mean(1)

        bend = (0.35 * draws.normal(3)).clamp(-0.8, 0.8)
        back = functional.normalize(bend + bend.new_tensor([1.0, 0, 0]), dim=-1)
        back = torch.einsum("bij,bj->bi", motion.rotation, back)
        rim = mesh[:, self.rim]
        width = draws.uniform(low=1.08, high=1.35) * draws.chance(setting.sleeve)
        things, thing_colors = _things(setting, draws, motion, joints, spheres, radii, plain)
        second, second_color, inside_out = self._second_hand(setting, draws, subjects, motion.root)
        pieces = [mesh, forearm(rim, back), sleeve(rim, back, draws.uniform(high=0.85), width), *things, *second]
        cloth = _cloth(draws, SLEEVE_RINGS, len(self.rim))
        albedo = [
            skin, plain[:, None].expand(-1, pieces[1].shape[1], -1), cloth, *thing_colors,
            *(second_color[:, None] * shade for shade in (self.relief, torch.ones_like(pieces[1]))),
        ]  # fmt: skip
        vertices, albedo = torch.cat(pieces, 1), torch.cat(albedo, 1)
        normals = vertex_normals(vertices, self.faces)
        normals[:, -sum(piece.shape[1] for piece in second) :] *= inside_out[:, None, None]
        lit, open_ = vertices.new_ones(b, vertices.shape[1]), vertices.new_ones(b, vertices.shape[1])
        center = things[0].mean(1, keepdim=True)  # the object in the grip, as a sphere
        radius = (things[0] - center).norm(dim=-1).mean(1, keepdim=True)
        centers, radii = torch.cat([spheres, center], 1), torch.cat([radii, radius], 1)
        lit[:, :778], open_[:, :778] = occlusion(mesh, normals[:, :778], centers, radii, lamp.light, self.apart)
        gloss = subjects.gloss[:, None].expand(-1, vertices.shape[1])
        return Scene(vertices, lamp.shade(vertices, normals, albedo, gloss, lit, open_), joints)

    def _placed(self, pose: Tensor, shape: Tensor, rotation: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
        """Poses the hand with the middle MCP at `root`; returns vertices and joints."""
        mesh, joints = self.hand(pose, shape)
        mesh, joints = mesh @ rotation.mT, joints @ rotation.mT
        shift = (root - joints[:, MIDDLE_MCP])[:, None]
        return mesh + shift, joints + shift

    def _spheres(self, joints: Float[Tensor, "b 21 3"]) -> tuple[Tensor, Tensor]:
        """Returns spheres along the bones of the hand: centers, and radii (b, s)."""
        along = (torch.arange(SPHERES, device=joints.device) / (SPHERES - 1))[:, None]
        parent, child = joints[:, self.ends[:, 0]], joints[:, self.ends[:, 1]]
        centers = (parent[:, :, None] + along * (child - parent)[:, :, None]).flatten(1, 2)
        return centers, self.hand.bone_radii.repeat_interleave(SPHERES).expand(len(joints), -1)

    def _skin(self, subjects: Subjects) -> Float[Tensor, "b 778 3"]:
        """Returns the hand's own colors in the tone of each person, with reddish blotches."""
        waves = torch.sin(torch.einsum("vk,bkj->bvj", self.waves, subjects.blotch)).mean(-1)
        blotches = 1 + waves[..., None] * waves.new_tensor([0.05, 0.09, 0.09])
        tone = skin_tone(subjects.tone) * subjects.tint * waves.new_tensor(BLUSH) * REFLECTANCE
        return (self.relief * blotches * tone[:, None]).clamp(0, 1)

    def _second_hand(
        self, setting: Setting, draws: Draws, subjects: Subjects, root: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Makes a second hand, mostly behind the first, often of the same person.

        Returns its meshes, its color, and −1 for a left hand, whose faces are inside out, else 1. Where there is none,
        it is shrunk to a point.
        """
        shown = draws.chance(setting.second_hand)[:, None, None]
        pose = free_pose(self.hand, draws, 1)[:, 0]
        rotation = quaternion_to_rotation(draws.normal(4))
        aside = functional.normalize(draws.normal(2), dim=-1) * draws.uniform(1, low=0.12, high=0.2)
        position = root + torch.cat([aside, draws.uniform(1, low=-0.02, high=0.12)], -1)
        handedness = torch.where(draws.chance(0.5), 1.0, -1.0)  # a left hand is a mirrored right hand
        mesh, joints = self.hand(pose, draws.normal(10).clamp(-2, 2))
        mesh = mesh - joints[:, MIDDLE_MCP, None]
        mesh = torch.cat([mesh[..., :2], mesh[..., 2:] * handedness[:, None, None]], -1) @ rotation.mT
        back = rotation[:, :, 0]
        pieces = [mesh, forearm(mesh[:, self.rim], back)]
        other = skin_tone(draws.uniform(high=9.0))
        own = skin_tone(subjects.tone) * subjects.tint
        color = own.where(draws.chance(0.6)[:, None], other)
        return (
            [piece * shown + position[:, None] for piece in pieces],
            color * color.new_tensor(BLUSH) * REFLECTANCE,
            handedness,
        )


def _things(
    setting: Setting, draws: Draws, motion: Motion, joints: Tensor, spheres: Tensor, radii: Tensor, skin: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Makes meshes and colors of the object in the grip, an object in front, two skin-colored blobs and another arm."""
    root = motion.root
    turn = [quaternion_to_rotation(draws.normal(4)) for _ in range(4)]
    round_ = [torch.where(draws.uniform(2) < 0.5, 0.25, 1.0) for _ in range(4)]

    # In the grip: as large as there is room, with its length across the palm.
    grip = (joints[:, list(TIPS)].mean(1) + joints[:, MIDDLE_MCP]) / 2
    room = ((spheres - grip[:, None]).norm(dim=-1) - radii).amin(1)
    across = functional.normalize(joints[:, C21.index("index1")] - joints[:, C21.index("little1")], dim=-1)
    first = functional.normalize(torch.linalg.cross(across, across.roll(1, -1) + 0.1), dim=-1)
    axes = torch.stack([first, torch.linalg.cross(across, first), across], -1)
    gripped = draws.chance(setting.held) & (room > SMALLEST_GRIP)
    thickness = room.clamp(SMALLEST_GRIP, 0.045) * gripped
    stretch = torch.stack([torch.ones_like(room), torch.ones_like(room), draws.uniform(low=0.8, high=4.0)], -1)
    things = [solid(grip, axes, thickness[:, None] * stretch, round_[0])]

    # In front: between the camera and a joint of the hand.
    target = joints[torch.arange(len(root), device=root.device), draws.integer(21)]
    nearer = target * (1 - draws.uniform(1, low=0.04, high=0.1) / target[:, 2:])
    size = draws.uniform(3, low=0.008, high=0.035) * draws.chance(setting.occluder)[:, None]
    things.append(solid(nearer, turn[1], size, round_[1]))

    colors = [_pattern(draws) for _ in range(2)]
    for k in (2, 3):  # blobs behind
        position = root + torch.cat([0.12 * draws.normal(2), draws.uniform(1, low=0.05, high=0.3)], -1)
        size = draws.uniform(3, low=0.015, high=0.06) * draws.chance(setting.blobs)[:, None]
        things.append(solid(position, turn[k], size, round_[k]))
        colors.append(_near(draws, skin)[:, None].expand(-1, SOLID_RINGS * SOLID_SIDES, -1))

    angle = functional.normalize(draws.normal(2), dim=-1)
    depth = draws.uniform(1, low=0.06, high=0.3)
    middle = root + torch.cat([0.1 * draws.normal(2), depth], -1)
    half = torch.cat([0.4 * angle, 0.2 * draws.normal(1)], -1)
    radius = draws.uniform(low=0.02, high=0.05) * draws.chance(setting.arms)
    things.append(tube(middle - half, middle + half, radius, draws.uniform(low=0.6, high=1.5)))
    colors.append(_near(draws, skin)[:, None].expand(-1, TUBE_RINGS * TUBE_SIDES, -1))
    return things, colors


def _near(draws: Draws, skin: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3"]:
    return (skin * draws.uniform(3, low=0.8, high=1.25)).clamp(0, 1)


def _pattern(draws: Draws) -> Float[Tensor, "b m 3"]:
    """Draws checks or stripes in two colors over the grid of an object."""
    first, second = (to_linear(draws.uniform(1, 3)) for _ in range(2))
    ring, side = torch.arange(SOLID_RINGS, device=first.device), torch.arange(SOLID_SIDES, device=first.device)
    period = draws.integer(5, 2) + 1
    check = (ring[:, None] // period[:, :1, None] + side // period[:, 1:, None]) % 2
    return torch.where(check.flatten(1)[..., None] == 0, first, second)


def _cloth(draws: Draws, rings: int, sides: int) -> Float[Tensor, "b m 3"]:
    """Draws one color for a sleeve, and rings of another color for half of the sleeves."""
    first, second = (to_linear(draws.uniform(1, 1, 3)) for _ in range(2))
    striped = draws.chance(0.5)[:, None] & (torch.arange(rings, device=first.device) % 2 == 1)
    return torch.where(striped[..., None, None], second, first).expand(-1, -1, sides, -1).flatten(1, 2)


def _light(draws: Draws) -> Light:
    """Draws a lamp, mostly above the hand and on the side of the camera."""
    toward = functional.normalize(draws.normal(3) + draws.normal(3).new_tensor([0.0, -0.7, -0.7]), dim=-1)
    color = draws.uniform(1, low=0.35, high=1.0) * draws.uniform(3, low=0.85, high=1.15)
    sky = draws.uniform(1, low=0.1, high=0.45) * draws.uniform(3, low=0.85, high=1.15)
    return Light(toward, color, sky, draws.uniform(1, low=0.05, high=0.3) * draws.uniform(3, low=0.85, high=1.15))


def _apart(owner: Tensor) -> Tensor:
    """Returns which spheres shade which vertices, (778, spheres + 1): none of the same finger, and no palm on the palm.

    The last sphere, the object in the grip, shades all vertices.
    """
    fingers = [-1 if name == "wrist" else (C21.index(f"{name[:-1]}1") - 1) // 4 for name in MANO16.joints]
    finger = torch.tensor(fingers, device=owner.device)[owner][:, None]
    bone = torch.arange(len(BONES), device=owner.device)
    own = (finger == bone // 4) | ((finger == -1) & (bone % 4 <= 1))
    shades = (~own).repeat_interleave(SPHERES, 1)
    return torch.cat([shades, shades.new_ones(len(shades), 1)], 1).float()
