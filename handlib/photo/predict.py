"""From a photograph to the hands in it: detection, evidence, E3D, refinement, each hand in the photograph's own camera.

A left hand is looked at in the mirror: its crop is flipped, and everything up to the estimate is that of the right hand
in the mirrored photograph, whose K has its principal point mirrored too.
"""

import math
import os
from collections.abc import Sequence
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from ..camera import CROP_FACTOR, SCALE_UNIT, crop_box, mirror_cam, mirror_intrinsics, mirror_px, unproject
from ..dhpe import DHPE
from ..fitting.lift import NOISE, Lifted, Lifter, to_ray
from ..fitting.posterior import Noise, State
from ..hand.joints import MIDDLE_MCP
from ..networks.landmarks import LandmarkNetwork
from ..networks.published import landmark_network, palm_network
from ..networks.turned_crop import HandEvidence, TurnedCrop
from ..output import DHPEOutput
from ..parameters import MeshParameters
from ..refinement import refine as refine_by_gradient
from ..support import roma
from ..support.arguments import as_tensor, checked
from ..support.images import SHORTEST
from .confidence import joint_confidence
from .estimate import HandEstimate
from .find import Detection, Finder
from .pyramid import Pyramid
from .read import Box, ImageSource, Photo, check_box, read_photo

FIELD_OF_VIEW = 60.0  # degrees along the longer side, of a camera that nobody knows
NEAREST = 0.4  # meters: closer than this no hand is photographed, so a crop's field of view is narrower
HAND_CROP = 0.27  # meters of a hand's turned crop, about
UNCHECKED = 0.03  # spread of the points of a hand that was not checked
SIDES = ("right", "left")


class Predictor:
    """A model and a finder, ready for one photograph after another.

    checkpoint: as for `DHPE.from_pretrained`, or a model on the CPU, which is put into evaluation mode.
    """

    def __init__(self, checkpoint: str | os.PathLike[str] | DHPE = "photo"):
        self.model = checkpoint if isinstance(checkpoint, DHPE) else DHPE.from_pretrained(checkpoint)
        if (device := self.model.laplacian.device).type != "cpu":
            raise ValueError(f"the model is on {device}, but photographs are estimated on the CPU: give model.cpu()")
        self.model.eval()
        self.photo_trunk = self.model.config.trunk == "photo"
        landmarks = self.model.feature_extractor.network if self.photo_trunk else landmark_network()
        self.finder = Finder(palm_network(), landmarks)
        self.lifter = Lifter(self.model.hand) if self.photo_trunk else None
        self.lifted: Lifted | None = None  # the last fit

    @checked
    @torch.no_grad()
    def __call__(
        self,
        image: ImageSource | Photo,
        K: Float[Tensor, "3 3"] | Sequence[Sequence[float]] | float | None = None,
        max_hands: int = 2,
        refine: int | None = None,
        box: Box | None = None,
        side: str | None = None,
    ) -> list[HandEstimate]:
        """The hands of one photograph, surest first; see `predict`."""
        if K is not None:
            checked_K(K)  # before anything is looked for
        if side not in (None, *SIDES):
            raise ValueError(f"side must be right or left, not {side!r}")
        if max_hands < 1:
            raise ValueError(f"max_hands must be at least 1, not {max_hands}")
        if refine is not None and refine < 0:
            raise ValueError(f"refine must be 0 or more iterations, not {refine}")
        photo = image if isinstance(image, Photo) else read_photo(image, box)
        pyramid = Pyramid(photo.pixels, photo.reduction)
        found = self.finder.find(pyramid, max_hands) if box is None else [self.in_box(photo, pyramid, box)]
        return self.estimate(photo, pyramid, found, K, refine, side)

    def in_box(self, photo: Photo, pyramid: Pyramid, box: Box) -> Detection:
        """The hand that the user says is in a square (left, top, side), however unsure the network is."""
        square = torch.tensor([check_box(box, photo.size, photo.path or "the image")], dtype=torch.float32)
        return self.finder.surest_turn(pyramid, TurnedCrop.upright(square))

    def estimate(
        self,
        photo: Photo,
        pyramid: Pyramid,
        found: list[Detection],
        K: Tensor | Sequence | float | None = None,
        refine: int | None = None,
        side: str | None = None,
    ) -> list[HandEstimate]:
        """Estimates of hands that were found, surest first."""
        if not found:
            return []
        left = torch.tensor([side == "left" if side else float(hand.evidence.right) < 0.5 for hand in found])
        crop, evidence = self.last_look(pyramid, torch.stack([hand.points_px for hand in found]), left)
        K, assumed = camera_of(photo, K, crop)
        score = torch.tensor([hand.score for hand in found])
        spread = torch.stack([torch.full((21,), UNCHECKED) if hand.spread is None else hand.spread for hand in found])
        hands = self.of_evidence(pyramid, crop, evidence, left, K, assumed, refine, score=score, spread=spread)
        return sorted(hands, key=lambda hand: -hand.score)

    def of_evidence(
        self,
        pyramid: Pyramid,
        crop: TurnedCrop,
        evidence: HandEvidence,
        left: Tensor,
        K: Float[Tensor, "3 3"],
        assumed: bool,
        refine: int | None = None,
        before: State | None = None,
        noise: Noise = NOISE,
        score: Float[Tensor, " n"] | None = None,
        spread: Float[Tensor, "n 21"] | None = None,
    ) -> list[HandEstimate]:
        """Estimates of what `last_look` saw, in its order; `self.lifted` then holds their states.

        before: their states in the frame before, a row for each. score, spread: of hands that were checked (find.py);
        for others the network's own presence stands.
        """
        own = mirrored_K(K, left, float(pyramid.width))
        if self.photo_trunk:
            outputs, vertices, residual = self._lifted(crop, evidence, own, refine, before, noise)
        else:
            outputs, vertices, residual = self._regressed(pyramid, crop, evidence, left, own, refine)
        score = evidence.presence if score is None else score
        spread = torch.full((len(left), 21), UNCHECKED) if spread is None else spread
        confidence = joint_confidence(score, spread, residual.float())
        hands = []
        for i, h in enumerate(outputs.h):
            posed = self.model.hand(*MeshParameters.split(h)[:2]).vertices
            rotation, translation = roma.rigid_points_registration(posed.double(), vertices[i].double())
            vertices_cam = mirror_cam(vertices[i]) if left[i] else vertices[i]
            hands.append(HandEstimate(
                side=SIDES[int(left[i])],
                score=float(score[i]),
                confidence=confidence[i],
                vertices_cam=vertices_cam,
                joints_cam=self.model.hand.regress_joints(vertices_cam),
                K=K,
                K_assumed=assumed,
                h=h,
                placement=(rotation.float(), translation.float()),
                hand=self.model.hand,
            ))  # fmt: skip
        return hands

    def last_look(
        self, pyramid: Pyramid, points_px: Float[Tensor, "n 21 2"], left: Tensor
    ) -> tuple[TurnedCrop, HandEvidence]:
        """Crops around hands' points, of left hands in the mirrored photograph, and what they show."""
        crop = TurnedCrop.around_points(points_px)
        pictures = pyramid.sample(crop, LandmarkNetwork.SIZE)
        pictures[left] = pictures[left].flip(-1)
        evidence = self.finder.landmarks(pictures.contiguous(memory_format=torch.channels_last))
        return mirrored(crop, left, float(pyramid.width)), evidence

    # ---- the two kinds of model

    def _lifted(
        self,
        crop: TurnedCrop,
        evidence: HandEvidence,
        K: Tensor,
        refine: int | None,
        before: State | None,
        noise: Noise,
    ) -> tuple[DHPEOutput, Tensor, Tensor]:
        """By the photo trunk: E3D, then second-order steps."""
        first = self.model.estimate_upright(evidence)
        points = crop.to_px(evidence.points[..., :2])
        if refine == 0:
            vertices = in_camera(first, crop, K)
            noise = 0.01 * crop_box(points)[:, 2, None, None]
            px = vertices @ K.mT
            landmarks = self.lifter.image @ (px[..., :2] / px[..., 2:])
            return first, vertices, ((landmarks - points) / noise).norm(dim=-1)
        guess = self.lifter.guess(crop, evidence, first)
        steps = {} if refine is None else {"iterations": refine}
        lifted = self.lifter(points, guess, K, before, noise=noise, **steps)
        self.lifted = lifted
        return lifted.output, lifted.output.vertices + lifted.output.root_cam[:, None], lifted.residual

    def _regressed(
        self,
        pyramid: Pyramid,
        crop: TurnedCrop,
        evidence: HandEvidence,
        left: Tensor,
        K: Tensor,
        refine: int | None,
    ) -> tuple[DHPEOutput, Tensor, Tensor]:
        """By another trunk, on upright crops of `CROP_FACTOR` times the box of the points that the finder saw."""
        points = crop.to_px(evidence.points[..., :2])
        upright = TurnedCrop.upright(crop_box(points, CROP_FACTOR))
        pictures = pyramid.sample(mirrored(upright, left, float(pyramid.width)), 2 * self.model.config.size)
        pictures[left] = pictures[left].flip(-1)
        output = self.model(pictures)
        if refine is None or refine > 0:
            with torch.enable_grad():
                output = refine_by_gradient(self.model, pictures, output, 50 if refine is None else refine)
        residual = (output.joints_2d - (upright.from_px(points) + 1) * (pictures.shape[-1] / 2)).norm(dim=-1)
        return output, in_camera(output, upright, K), residual / (0.02 * pictures.shape[-1])


def predict(
    image: ImageSource | Photo,
    K: Float[Tensor, "3 3"] | Sequence[Sequence[float]] | float | None = None,
    max_hands: int = 2,
    refine: int | None = None,
    box: Box | None = None,
    side: str | None = None,
    checkpoint: str | os.PathLike[str] | DHPE = "photo",
) -> list[HandEstimate]:
    """The hands of a photograph: their meshes in its camera. An empty list where no hand is found.

    image: a path, a Pillow image, an array (h, w, 3) or a tensor (3, h, w). K: intrinsics of the upright photograph,
    or a focal length in pixels; without it a focal length from the file or a field of view is assumed. refine:
    iterations of refinement, 0 for the network's first answer; by default as many as are worth it. box: left, top and
    side of the square of one hand, in place of the detector's. side: "right" or "left", in place of the detector's.

    For many photographs make one `Predictor` and call it.
    """
    return Predictor(checkpoint)(image, K, max_hands, refine, box, side)


# ---- cameras


def camera_of(
    photo: Photo, K: Tensor | Sequence | float | None = None, crop: TurnedCrop | None = None
) -> tuple[Float[Tensor, "3 3"], bool]:
    """K and whether it was assumed: from the file's focal length, or `FIELD_OF_VIEW` if hands are then not too near."""
    width, height = photo.size
    if K is not None:
        return checked_K(K, photo.size), False
    focal = photo.focal_px
    if focal is None:
        wide = max(width, height) / 2 / math.tan(math.radians(FIELD_OF_VIEW) / 2)
        focal = wide if crop is None else max(wide, NEAREST * float(crop.side.max()) / HAND_CROP)
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float32), True


def checked_K(K: Tensor | Sequence | float, size: tuple[int, int] = (0, 0)) -> Float[Tensor, "3 3"]:
    """Intrinsics that a user gives, once they are seen to be some. A number is a focal length in pixels.

    size: width and height of the photograph, whose middle is then the principal point.
    """
    K = K.item() if getattr(K, "ndim", None) == 0 else K
    if isinstance(K, Real) and not isinstance(K, bool) and -1e30 < K < 1e30:
        K = [[K, 0, size[0] / 2], [0, K, size[1] / 2], [0, 0, 1]]
    wanted = "3×3, [[fx, s, cx], [0, fy, cy], [0, 0, 1]] in pixels of the upright photograph, or a focal length"
    try:
        K = as_tensor("K", K).float().cpu()
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}: give {wanted}") from None
    if K.shape != (3, 3) or not torch.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise ValueError(f"K must be {wanted}")
    if K[1:].flatten()[[0, 3, 4, 5]].tolist() != [0, 0, 0, 1]:
        raise ValueError(f"K must be {wanted}")
    shortest = float(K[[0, 1], [0, 1]].min())
    if shortest < SHORTEST * max(size):
        raise ValueError(f"K: a focal length of {shortest:g} pixels is too short for {size[0]}×{size[1]}: is it in mm?")
    return K


def in_camera(output: DHPEOutput, crop: TurnedCrop, K: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 778 3"]:
    """Estimates in crops placed in the camera: as large as their own size in meters says, each along its own ray."""
    root_px = crop.to_px(output.mesh_crop.joints[:, MIDDLE_MCP : MIDDLE_MCP + 1, :2])
    px_per_m = MeshParameters.split(output.h).scale[:, 0] * SCALE_UNIT * crop.side / 2
    depth = (K[:, 0, 0] + K[:, 1, 1]) / 2 / px_per_m.clamp(min=1e-6)
    turn = to_ray(root_px[:, 0].double(), K.double()).float() @ crop.rotation_3d()
    return output.vertices @ turn.mT + unproject(root_px, depth[:, None], K)


def mirrored_K(K: Float[Tensor, "3 3"], left: Tensor, width: float) -> Float[Tensor, "n 3 3"]:
    """K for each hand: of the mirrored photograph for left ones."""
    return torch.where(left[:, None, None], mirror_intrinsics(K, width), K)


def mirrored(crop: TurnedCrop, left: Tensor, width: float) -> TurnedCrop:
    """Crops of left hands as they are in the mirrored photograph, and back."""
    center = torch.where(left[:, None], mirror_px(crop.center, width), crop.center)
    return TurnedCrop(center, crop.side, torch.where(left, -crop.angle, crop.angle))
