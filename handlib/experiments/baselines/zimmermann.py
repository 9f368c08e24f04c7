"""Heat maps lifted to 3D: Zimmermann and Brox, "Learning to Estimate 3D Hand Pose from Single RGB Images", ICCV 2017.

A 2D network gives heat maps. From these, PosePrior estimates the skeleton in a canonical frame, in units of one bone,
and ViewPoint the rotation of that frame to the camera. The method gives joints, no mesh.

Canonical frame: origin at the wrist; y towards the MCP of the middle finger; the MCP of the little finger in the plane
of x and y, with positive x. Lengths are divided by the proximal phalanx of the middle finger, whose true length a
protocol gives.

The 2D network is the J2D of the config's trunk. That of the trunk "paper" is the convolutional pose machine of the
original: its last stage is lifted, all stages are trained, and it starts from the published weights that the config
names. That of lite is small and has one stage.

Differences from the original: the image is not cropped by HandSegNet. The lifting networks have the original's layers
at `pose_width` 16, and are trained on the heat maps of J2D, not on ideal ones. All hands are right hands, so the
networks do not get the side. All parts are trained in one run.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ...camera import crop_to_px, px_to_crop, unproject
from ...dhpe import DHPEConfig, new_pose_network
from ...evidence import heatmap_peaks
from ...hand.joints import C21, MIDDLE_MCP
from ...losses import LossWeights, heatmap_loss
from ...networks.pretrained import read_posenet
from ...support import roma
from ...training.first_weights import start_evidence
from ...training.profiles import TrainConfig
from .interface import SCALE_BONE, Estimate, View
from .training import resized

WRIST, LITTLE_MCP = C21.index("wrist"), C21.index("little1")
SLOPE = 0.01  # of the leaky ReLUs


class HeatmapNetwork(nn.Module):
    """Maps heat maps to a few numbers: three pairs of convolutions, each halving the side, then two hidden layers."""

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
    """J2D, PosePrior and ViewPoint."""

    def __init__(self, config: DHPEConfig, weights: LossWeights):
        super().__init__()
        self.config, self.weights = config, weights
        w, size = config.pose_width, config.heatmap_side
        self.pose_network = new_pose_network(config)
        self.pose_prior = HeatmapNetwork(size, (2 * w, 4 * w, 8 * w), (32 * w, 32 * w), 0.2, 63)
        self.viewpoint = HeatmapNetwork(size, (4 * w, 8 * w, 16 * w), (16 * w, 8 * w), 0.25, 3)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """Computes heat maps (b, 21, s, s), canonical joints (b, 21, 3) and the rotation (b, 3, 3) to their frame."""
        heatmaps = self.heatmaps(images)[-1]
        return heatmaps, *self.lift(heatmaps)

    def heatmaps(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 21 s s"]]:
        """Computes the heat maps of every stage of J2D."""
        return self.pose_network.stages(resized(images, self.config.pose_side))

    def lift(self, heatmaps: Float[Tensor, "b 21 s s"]) -> tuple[Float[Tensor, "b 21 3"], Float[Tensor, "b 3 3"]]:
        """Computes canonical joints in units of the bone, and the rotation to their frame."""
        maps = heatmaps.detach()  # as in the original, the lifting does not train J2D
        return self.pose_prior(maps).unflatten(1, (21, 3)), roma.rotvec_to_rotmat(self.viewpoint(maps))

    def loss(self, images: Float[Tensor, "b 3 s s"], batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Computes the mean squared errors of the heat maps of all stages (Eq. 3), of the canonical joints, and of the
        entries of the rotation."""
        *earlier, heatmaps = self.heatmaps(images)
        joints, rotation = self.lift(heatmaps)
        true_joints, true_rotation = canonical(batch["joints_cam"])
        points = px_to_crop(batch["joints_px"], self.config.size)
        terms = {
            "heatmap": self.weights.heatmap * heatmap_loss(heatmaps, points),
            "canonical": functional.mse_loss(joints, true_joints),
            "rotation": functional.mse_loss(rotation, true_rotation),
        }
        if earlier and self.weights.earlier_heatmaps:  # as for DHPE
            mean = sum(heatmap_loss(maps, points) for maps in earlier) / len(earlier)
            terms["earlier_heatmaps"] = self.weights.earlier_heatmaps * mean
        total = sum(terms.values())
        return total, {"loss": total.item(), **{name: term.item() for name, term in terms.items()}}

    @torch.no_grad()
    def predict(self, view: View) -> Estimate:
        """Takes the size from the true length of the bone, and only the position from the true depth of the root."""
        heatmaps, joints, rotation = self(view.images)
        joints = joints @ rotation * view.bone_length[:, None, None]
        peak = heatmap_peaks(heatmaps, self.config.subpixel)[:, MIDDLE_MCP : MIDDLE_MCP + 1]
        root = unproject(crop_to_px(peak, view.images.shape[-1]), view.root_depth[:, None], view.K)
        return Estimate(joints - joints[:, MIDDLE_MCP : MIDDLE_MCP + 1] + root)


def canonical(
    joints_cam: Float[Tensor, "*batch 21 3"],
) -> tuple[Float[Tensor, "*batch 21 3"], Float[Tensor, "*batch 3 3"]]:
    """Returns joints in the canonical frame and the rotation R to it: canonical = R (joint − wrist) / bone."""
    relative = joints_cam - joints_cam[..., WRIST : WRIST + 1, :]
    a, b = SCALE_BONE
    bone = (relative[..., a, :] - relative[..., b, :]).norm(dim=-1)
    y = functional.normalize(relative[..., MIDDLE_MCP, :], dim=-1)
    little = relative[..., LITTLE_MCP, :]
    x = functional.normalize(little - (little * y).sum(-1, keepdim=True) * y, dim=-1)
    rotation = torch.stack([x, y, torch.linalg.cross(x, y)], -2)
    return relative @ rotation.mT / bone[..., None, None], rotation


def untrained(config: TrainConfig) -> Zimmermann:
    """Makes the networks of a run: random weights, but for a J2D that starts from published or trained ones."""
    network = Zimmermann(config.model, config.loss)
    if config.model.posenet:
        network.pose_network.load_state_dict(read_posenet(config.model.posenet))
    if config.init_pose:
        start_evidence(network.pose_network, None, config)
    return network
