"""What an estimate of a hand consists of, whoever made it: the network, test-time refinement, or `fit`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from .camera import SCALE_UNIT, crop_to_cam, crop_to_px, focal_length, quaternion_product
from .hand import HandModel, HandOutput
from .hand.joints import MIDDLE_MCP
from .networks.turned_crop import HandEvidence, TurnedCrop
from .parameters import MeshParameters, posed_hand
from .renderer import Renderer
from .support.arguments import shapes


@dataclass(frozen=True)
class DHPEOutput:
    """One hand an image. B is the batch; joints are in C21 order.

    `vertices` and `joints_3d` are meters along the camera's axes, relative to the middle MCP: one image does not tell
    how far away a hand is. `in_camera` places it by the depth of the root, or by its own size; `root_cam` is the root
    where the maker knew it.
    """

    h: Float[Tensor, "*batch 63"]
    vertices: Float[Tensor, "*batch 778 3"]
    joints_3d: Float[Tensor, "*batch 21 3"]
    joints_2d: Float[Tensor, "*batch 21 2"]  # pixels of the input image, projected from the mesh
    root_cam: Float[Tensor, "*batch 3"] | None = None  # meters
    # What only `fit` knows: pixels between the joints that were given and the estimate's, NaN where not visible; and
    # their root mean square, by weight.
    joint_residual_px: Float[Tensor, "*batch 21"] | None = None
    residual_px: Float[Tensor, "*batch"] | None = None
    # What only the network knows:
    mesh_crop: HandOutput | None = None  # m(h) and Reg(m(h)) in crop coordinates
    evidence_2d: Float[Tensor, "*batch 21 2"] | None = None  # the last j2D, crop coordinates
    heatmaps: Float[Tensor, "*batch 21 s s"] | None = None
    earlier_heatmaps: tuple[Tensor, ...] = ()  # of the stages before the last, each like `heatmaps`
    features: Float[Tensor, "*batch c"] | None = None
    size: int | None = None  # pixels of the square input image
    crop: TurnedCrop | None = None  # through which the photo trunk looked at the image, and what it said
    hand_evidence: HandEvidence | None = None
    history: tuple["Iteration", ...] = ()
    hand: HandModel | None = None  # the model whose mesh it is

    def __repr__(self) -> str:
        return shapes("DHPEOutput", vars(self).items())

    @property
    def mask(self) -> Float[Tensor, "*batch size size"]:
        """Ren(m): the silhouette of each hand in its input image, 0 … 1."""
        if self.mesh_crop is None or self.size is None or self.hand is None:
            raise ValueError("this estimate has no crop coordinates, so it has no silhouette in a crop")
        return Renderer(self.size).silhouette(crop_to_px(self.mesh_crop.vertices, self.size), self.hand.faces)

    def in_camera(
        self, K: Float[Tensor, "*batch 3 3"], root_depth: Float[Tensor, "*batch"] | None = None
    ) -> HandOutput:
        """Vertices and joints in the camera frame in meters, by the inverse normalization of Eq. 8.

        K is that of the input image; `root_depth` the depth of the middle MCP, which protocols take from the truth, and
        which then says how large the hand is. Without it the estimate's own size says how far away it is (metric
        depth): as far as a hand of that size looks as large as it does.
        """
        if self.mesh_crop is None or self.size is None:
            raise ValueError("this estimate has no crop coordinates; one made by `fit` is placed by its root_cam")
        root = self.mesh_crop.joints[..., MIDDLE_MCP, :]
        if root_depth is None:
            px_per_m = MeshParameters.split(self.h).scale[..., 0] * SCALE_UNIT * self.size / 2
            root_depth = focal_length(K) / px_per_m.clamp(min=1e-6)
        return HandOutput(*(crop_to_cam(points, root, root_depth, K, self.size) for points in self.mesh_crop))

    def map(self, change: Callable[[Tensor], Tensor]) -> "DHPEOutput":
        """The same estimate with every tensor changed: `output.map(Tensor.detach)`, `output.map(lambda t: t[:2])`."""
        return _mapped(self, change)


@dataclass(frozen=True)
class Iteration:
    """The state after one step of the iterative regression (Eq. 4–6); step 0 is the start."""

    h: Float[Tensor, "*batch 63"]
    evidence_2d: Float[Tensor, "*batch 21 2"]  # j2D(k), crop coordinates
    joints: Float[Tensor, "*batch 21 3"]  # Reg(m(h)), crop coordinates
    objective: Float[Tensor, "*batch"] | None = None  # of a refinement's step: Eq. 13 against the last 2D joints


def assemble(
    hand: HandModel,
    states: list[Iteration],
    size: int,
    heatmaps: Float[Tensor, "*batch 21 s s"] | None,
    features: Float[Tensor, "*batch c"],
) -> DHPEOutput:
    """The estimate that the last of the states stands for, on images of `size` pixels."""
    last = states[-1]
    meters, mesh = in_meters(hand, last.h), posed_hand(hand, last.h)
    return DHPEOutput(
        h=last.h,
        vertices=meters.vertices,
        joints_3d=meters.joints,
        joints_2d=crop_to_px(mesh.joints[..., :2], size),
        mesh_crop=mesh,
        evidence_2d=last.evidence_2d,
        heatmaps=heatmaps,
        features=features,
        size=size,
        history=tuple(states),
        hand=hand,
    )


def seen_in_image(state: Iteration, crop: TurnedCrop, size: int) -> Iteration:
    """The state of a hand in a turned crop as that of the hand in the image of `size` pixels that was looked at.

    A turn in the image, a scale and a shift keep a scaled orthographic camera one: h changes in its camera alone.
    """
    scale, turn = crop.side[:, None] / size, crop.rotation_3d()
    shift = torch.cat([crop.center * (2 / size) - 1, torch.zeros_like(scale)], -1)
    parts = MeshParameters.split(state.h)
    half = -crop.angle / 2  # of the model's frame, whose z points towards the viewer
    z_turn = torch.stack([half.cos(), 0 * half, 0 * half, half.sin()], -1)
    translation = scale * (turn @ parts.translation[..., None])[..., 0] + shift
    h = parts._replace(
        quaternion=quaternion_product(z_turn, parts.quaternion), scale=parts.scale * scale, translation=translation
    ).join()
    points = state.joints @ turn.mT * scale[:, None] + shift[:, None]
    evidence = state.evidence_2d @ turn[:, :2, :2].mT * scale[:, None] + shift[:, None, :2]
    return replace(state, h=h, evidence_2d=evidence, joints=points)


def in_meters(hand: HandModel, h: Float[Tensor, "*batch 63"]) -> HandOutput:
    """The hand of h in meters along the camera's axes, relative to its middle MCP: σ and t play no part."""
    parameters = MeshParameters.split(h)
    vertices = hand(parameters.pose, parameters.shape).vertices @ parameters.camera.rotation().mT
    joints = hand.regress_joints(vertices)
    root = joints[..., MIDDLE_MCP : MIDDLE_MCP + 1, :]
    return HandOutput(vertices - root, joints - root)


def _mapped(value, change: Callable[[Tensor], Tensor]):
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        parts = [_mapped(part, change) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, DHPEOutput | Iteration):
        return type(value)(**{name: _mapped(part, change) for name, part in vars(value).items()})
    return value
