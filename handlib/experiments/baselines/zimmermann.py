"""Heat maps lifted to 3D: Zimmermann and Brox, "Learning to Estimate 3D Hand Pose from Single RGB Images", ICCV 2017.

A 2D network gives heat maps. From them PosePrior says the skeleton in a canonical frame, in units of one bone, and
ViewPoint says how that frame is turned towards the camera. Joints only: there is no mesh.

Canonical frame: origin at the wrist; y towards the middle finger's MCP; the little finger's MCP in the plane of x and
y, on the side of positive x. Lengths are divided by the middle finger's proximal phalanx, whose true length a protocol
gives back.

The 2D network is the J2D of the config's trunk. The paper's is the original's own convolutional pose machine, whose
last stage is lifted and all of whose stages learn; it starts from the published weights that the config names. Lite's
is small and has one stage.

What differs from the original: no HandSegNet crops the picture; the lifting networks have the original's layers at
`pose_width` 16, and learn from the heat maps that J2D gives, not from ideal ones; right hands only, so they are not
told the side; all parts learn in one run.
"""

import os

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ...camera import crop_to_px, px_to_crop, unproject
from ...dhpe import DHPEConfig, new_pose_network
from ...evidence import heatmap_peaks
from ...hand.joints import C21, MIDDLE_MCP
from ...losses import LossWeights, heatmap_loss
from ...networks.pretrained import load_posenet
from ...support import roma
from ...training.first_weights import start_pose
from ...training.train import TrainConfig
from .interface import DEFAULTS, SCALE_BONE, Estimate, FitOptions, View
from .training import resized, train_network

WRIST, LITTLE_MCP = C21.index("wrist"), C21.index("little1")
SLOPE = 0.01  # of the leaky ReLUs


class HeatmapNetwork(nn.Module):
    """Heat maps to a few numbers: three pairs of convolutions, each halving the side, then two hidden layers."""

    def __init__(self, size: int, channels: tuple[int, int, int], hidden: tuple[int, int], dropout: float, out: int):
        super().__init__()
        layers, inputs = [], 21
        for c in channels:
            layers += [nn.Conv2d(inputs, c, 3, padding=1), nn.LeakyReLU(SLOPE)]
            layers += [nn.Conv2d(c, c, 3, 2, padding=1), nn.LeakyReLU(SLOPE)]
            inputs, size = c, (size + 1) // 2
        layers, inputs = [*layers, nn.Flatten()], inputs * size**2
        for h in hidden:
            layers += [nn.Linear(inputs, h), nn.LeakyReLU(SLOPE), nn.Dropout(dropout)]
            inputs = h
        self.layers = nn.Sequential(*layers, nn.Linear(inputs, out))

    def forward(self, heatmaps: Float[Tensor, "b 21 s s"]) -> Float[Tensor, "b out"]:
        return self.layers(heatmaps)


class Zimmermann(nn.Module):
    def __init__(self, config: DHPEConfig, weights: LossWeights):
        super().__init__()
        self.config, self.weights = config, weights
        w, size = config.pose_width, config.heatmap_side
        self.pose_network = new_pose_network(config)
        self.pose_prior = HeatmapNetwork(size, (2 * w, 4 * w, 8 * w), (32 * w, 32 * w), 0.2, 63)
        self.viewpoint = HeatmapNetwork(size, (4 * w, 8 * w, 16 * w), (16 * w, 8 * w), 0.25, 3)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Heat maps (b, 21, s, s), canonical joints (b, 21, 3) in bones, and the rotation (b, 3, 3) to their frame."""
        heatmaps = self.heatmaps(images)[-1]
        return heatmaps, *self.lift(heatmaps)

    def heatmaps(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 21 s s"]]:
        """Those of each of J2D's stages."""
        return self.pose_network.stages(resized(images, self.config.pose_side))

    def lift(self, heatmaps: Float[Tensor, "b 21 s s"]) -> tuple[Float[Tensor, "b 21 3"], Float[Tensor, "b 3 3"]]:
        """Canonical joints in bones, and the rotation to their frame."""
        seen = heatmaps.detach()  # the original, too, trains the lifting without moving the heat maps
        return self.pose_prior(seen).unflatten(1, (21, 3)), roma.rotvec_to_rotmat(self.viewpoint(seen))

    def loss(self, images: Float[Tensor, "b 3 s s"], batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean squared errors of the heat maps (Eq. 3), at earlier stages too where J2D has some, the canonical joints
        and the entries of the rotation."""
        *earlier, heatmaps = self.heatmaps(images)
        joints, rotation = self.lift(heatmaps)
        true_joints, true_rotation = canonical(batch["joints_cam"])
        points = px_to_crop(batch["joints_px"], self.config.size)
        terms = {
            "heatmap": self.weights.heatmap * heatmap_loss(heatmaps, points),
            "canonical": functional.mse_loss(joints, true_joints),
            "rotation": functional.mse_loss(rotation, true_rotation),
        }
        if earlier and self.weights.earlier_heatmaps:  # as DHPE's own
            mean = sum(heatmap_loss(maps, points) for maps in earlier) / len(earlier)
            terms["earlier_heatmaps"] = self.weights.earlier_heatmaps * mean
        total = sum(terms.values())
        return total, {"loss": total.item(), **{name: term.item() for name, term in terms.items()}}

    @torch.no_grad()
    def predict(self, view: View) -> Estimate:
        """The bone's true length gives the size; the root's depth only where the hand is, which protocols undo."""
        heatmaps, joints, rotation = self(view.images)
        joints = joints @ rotation * view.bone_length[:, None, None]
        peak = heatmap_peaks(heatmaps, self.config.subpixel)[:, MIDDLE_MCP : MIDDLE_MCP + 1]
        root = unproject(crop_to_px(peak, view.images.shape[-1]), view.root_depth[:, None], view.K)
        return Estimate(joints - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1] + root)


def canonical(
    joints_cam: Float[Tensor, "*batch 21 3"],
) -> tuple[Float[Tensor, "*batch 21 3"], Float[Tensor, "*batch 3 3"]]:
    """Joints in the canonical frame, in bones, and the rotation R to it: canonical = R (joint − wrist) / bone."""
    relative = joints_cam - joints_cam[..., WRIST : WRIST + 1, :]
    a, b = SCALE_BONE
    bone = (relative[..., a, :] - relative[..., b, :]).norm(dim=-1)
    y = functional.normalize(relative[..., MIDDLE_MCP, :], dim=-1)
    little = relative[..., LITTLE_MCP, :]
    x = functional.normalize(little - (little * y).sum(-1, keepdim=True) * y, dim=-1)
    rotation = torch.stack([x, y, torch.linalg.cross(x, y)], -2)
    return relative @ rotation.mT / bone[..., None, None], rotation


def fit(config: TrainConfig, out: str | os.PathLike[str], options: FitOptions = DEFAULTS) -> Zimmermann:
    """Trains it on the pictures and epochs of a DHPE of this config."""

    def make() -> Zimmermann:
        network = Zimmermann(config.model, config.loss)
        if config.model.posenet:
            load_posenet(network.pose_network, config.model.posenet)
        if config.init_pose:
            start_pose(network.pose_network, config)
        return network

    return train_network(make, config, out, options)
