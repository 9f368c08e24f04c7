"""DHPE: one RGB crop of a right hand to its 3D mesh (Eq. 1): evidence, iterative regression, projection.

image ─► F, J2D ─► E3D, three times ─► m(h) ─► Reg, Ren
"""

import json
import math
import os
from dataclasses import asdict, dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .camera import crop_to_px
from .evidence import FeatureExtractor, PoseNetwork, heatmap_peaks
from .hand import HandModel
from .hand.mesh import cotangent_laplacian
from .networks.checkpoint import checkpoint_path, read_checkpoint, read_config
from .networks.turned_crop import HandEvidence, TurnedCrop
from .output import DHPEOutput, assemble, seen_in_image
from .regressor import JOINTS_3D, Regressor
from .renderer import Renderer
from .renderer.renderer import GRADIENTS
from .support.arguments import as_path, as_tensor, check_fields
from .support.files import write_tensors

TRUNKS = ("lite", "paper", "photo")
PAPER_FEATURES = 2048  # length of F(x) of ResNet-50
PHOTO_SIZE, PHOTO_FEATURES = 224, 1152  # of the photo trunk: side of its input, length of its F(x)
OVERSHOOT = 0.1  # how far beyond [0, 1] an interpolated image may be
RANGES = {  # of a config's numbers, so that one from a file cannot ask for all memory
    "size": (8, 4096), "pose_size": (0, 4096), "feature_width": (1, 1024), "features": (1, 8192),
    "pose_width": (1, 1024), "hidden": (0, 8192), "iterations": (1, 100), "principal": (0, PHOTO_FEATURES - 1),
}  # fmt: skip
LAYOUT = torch.channels_last  # in which a CPU, and tensor cores, convolve fastest


@dataclass(frozen=True)
class DHPEConfig:
    """Everything that shapes the network. The defaults are the size named lite; `DHPEConfig.paper()` is the paper's."""

    # F and J2D: "lite" (evidence.py), "paper" (networks/resnet.py and networks/pose_machine.py), or "photo"
    # (networks/photo_trunk.py)
    trunk: str = "lite"
    size: int = 128  # side of F's input and of the rendered mask in pixels; images of other sizes are resized
    pose_size: int = 0  # side of J2D's input; 0: the same
    feature_width: int = 16  # channels of lite's F in its first layer
    features: int = 256  # length of F(x); 2048 in the paper
    pose_width: int = 16  # channels of lite's J2D in its first layer
    pretrained: bool = False  # the paper's F starts from ImageNet's published weights, which are downloaded
    posenet: str = ""  # file of the published weights that the paper's J2D starts from; empty: random ones
    hidden: int = 512  # width of E3D's and Ref's two hidden layers; 0 for the paper's single layers
    iterations: int = 3
    pose_refiner: bool = True  # Eq. 6
    evidence_2d: bool = True  # E3D sees j2D; False: F(x) alone, and there is no J2D (Kanazawa et al.)
    subpixel: bool = True  # heat-map peaks finer than a pixel; the paper takes the highest pixel
    principal: int = 128  # directions of the photo trunk's F that E3D sees; 0: no features
    gradient: str = "antialias"  # of Ren (renderer.py): the outlines' exact one, or "kato", the paper's
    hand: str = "openhand"
    fingertips: str = "smplx"

    def __post_init__(self):
        check_fields(self)
        if self.trunk not in TRUNKS:
            raise ValueError(f"unknown trunk '{self.trunk}': choose one of {', '.join(TRUNKS)}")
        for name, (least, most) in RANGES.items():
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be {least} … {most}, not {getattr(self, name)}")
        if self.gradient not in GRADIENTS:
            raise ValueError(f"unknown gradient '{self.gradient}': choose one of {', '.join(GRADIENTS)}")
        if self.trunk == "photo" and (self.features, self.size) != (PHOTO_FEATURES, PHOTO_SIZE):
            raise ValueError("the photo trunk has its own size and features: start from DHPEConfig.photo()")
        if self.trunk == "paper" and self.features != PAPER_FEATURES:
            raise ValueError(
                f"the paper's F gives {PAPER_FEATURES} features, not {self.features}: set features={PAPER_FEATURES}"
            )
        if self.trunk == "paper" and (self.pose_size or self.size) % 8:
            raise ValueError(f"8 must divide the side of J2D's input: set pose_size=256, not {self.pose_size}")
        if self.trunk != "paper" and (self.pretrained or self.posenet):
            raise ValueError("pretrained and posenet are for trunk='paper': leave them out")
        if self.pose_refiner and not self.evidence_2d:
            raise ValueError("without evidence_2d there is nothing to refine: set pose_refiner=False too")

    @property
    def pose_side(self) -> int:
        """Side of J2D's input in pixels."""
        return self.pose_size or self.size

    @property
    def heatmap_side(self) -> int:
        """Side of J2D's heat maps in their pixels."""
        return -(-self.pose_side // (8 if self.trunk == "paper" else 4))

    @classmethod
    def paper(cls, **overrides) -> "DHPEConfig":
        """The paper's: ResNet-50 at 224², PoseNet at 256², single layers, the highest pixel as j2D, Kato's gradient."""
        own = {"trunk": "paper", "size": 224, "pose_size": 256, "features": PAPER_FEATURES, "pretrained": True}
        return cls(**own | {"hidden": 0, "subpixel": False, "gradient": "kato"} | overrides)

    @classmethod
    def photo(cls, **overrides) -> "DHPEConfig":
        """Evidence from published networks that have seen photographs; E3D and Ref are trained here."""
        own = {"trunk": "photo", "size": PHOTO_SIZE, "features": PHOTO_FEATURES, "hidden": 384}
        return cls(**own | overrides)


class DHPE(nn.Module):
    """The whole estimator: `DHPE(config)` is an untrained one; "lite" and "photo" of `from_pretrained` ship trained.

    published: False leaves out the published weights that the config names, where others are loaded next anyway.
    """

    def __init__(self, config: DHPEConfig | None = None, published: bool = True):
        super().__init__()
        self.config = config = config or DHPEConfig()
        self.hand = HandModel.load(config.hand, config.fingertips)
        self.feature_extractor, self.pose_network = new_evidence(config)
        photo = config.trunk == "photo"
        inputs = self.feature_extractor.inputs if photo else config.features
        self.regressor = Regressor(
            self.hand, inputs, config.hidden, config.iterations, config.pose_refiner, config.evidence_2d
        )
        # In training alone: 21 joints in 3D that are linear in F(x), so that F learns what E3D can use (losses.py).
        self.feature_head = None if photo else nn.Linear(config.features, JOINTS_3D)
        if published:
            self._load_published()
        self.renderer = Renderer(config.size, gradient=config.gradient)
        self.provenance: dict[str, str] = {}  # how the weights came about, as written by `save`
        self.register_buffer("laplacian", cotangent_laplacian(self.hand.template, self.hand.faces), persistent=False)

    def _load_published(self) -> None:
        from .networks.pretrained import load_imagenet, read_posenet  # late: few models start from them

        if self.config.pretrained:
            load_imagenet(self.feature_extractor)
        if self.config.posenet and self.config.evidence_2d:
            self.pose_network.load_state_dict(read_posenet(self.config.posenet))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> DHPEOutput:
        """images: sRGB in [0, 1], square crops of 1.5 × the hand's box; any size, resized inside.

        The photo trunk looks at each through a turned crop that it finds itself; h is that of the image all the same.
        """
        # A look at the values makes a GPU wait, and no graph holds one; in training the check of the loss catches NaN.
        images = as_tensor("images", images, "n", self.laplacian.device)
        check_images(images, finite=not (self.training or torch.compiler.is_compiling()))
        if not torch.is_autocast_enabled(images.device.type):
            images = images.to(self.laplacian.dtype)
        if self.config.trunk == "photo":
            with torch.autocast(images.device.type, enabled=False):  # rounded crops and points move the hand by pixels
                crop = self.feature_extractor.upright(images)
                return self.estimate_upright(self.feature_extractor.seen(images, crop), crop, images.shape[-1])
        features, stages = self.features(images), self.heatmaps(images)
        output = self.estimate(features, stages[-1] if stages else None, images.shape[-1])
        return replace(output, earlier_heatmaps=tuple(stages[:-1]))

    def features(self, images: Float[Tensor, "b 3 h w"], crop: TurnedCrop | None = None) -> Float[Tensor, "b c"]:
        """F(x). crop: where in each image the photo trunk looks; by default at all of it."""
        if self.config.trunk != "photo":
            return self.feature_extractor(self.resize(images))
        pictures = self.resize(images) if crop is None else crop.sample(images, self.config.size)
        return self.feature_extractor.network.features(pictures)

    def heatmaps(self, images: Float[Tensor, "b 3 h w"]) -> list[Float[Tensor, "b 21 s s"]]:
        """J2D(x): the heat maps of each of its stages, the last one being what j2D is read off."""
        if self.pose_network is None:
            return []
        return self.pose_network.stages(self.resize(images, self.config.pose_side))

    def estimate(
        self, features: Float[Tensor, "b c"], heatmaps: Float[Tensor, "b 21 s s"] | None, size: int
    ) -> DHPEOutput:
        """From evidence to a hand; `size` is that of the image in whose pixels joints_2d are given.

        In single precision even where the networks before it are autocast to half, which would move vertices.
        """
        with torch.autocast(features.device.type, enabled=False):
            features = at_least_single(features)
            peaks = None if heatmaps is None else heatmap_peaks(heatmaps, self.config.subpixel)
            states = self.regressor(self.hand, features, peaks)
            return assemble(self.hand, states, size, heatmaps, features)

    def estimate_upright(
        self, evidence: HandEvidence, crop: TurnedCrop | None = None, size: int = PHOTO_SIZE
    ) -> DHPEOutput:
        """From what the photo trunk says about turned crops to hands.

        crop: where each lies in its image of `size` pixels, for an estimate in the image; by default the crop is it.
        """
        inputs = self.feature_extractor.conditions(evidence)
        states = self.regressor(self.hand, inputs, evidence.points[..., :2])
        if crop is not None:
            states = [seen_in_image(state, crop, size) for state in states]
        output = assemble(self.hand, states, size, None, evidence.features)
        return replace(output, crop=crop, hand_evidence=evidence)

    def render_mask(
        self, vertices_crop: Float[Tensor, "*batch 778 3"], size: int | None = None
    ) -> Float[Tensor, "*batch s s"]:
        """Ren(m): the silhouette of meshes in crop coordinates, at the network's size or another."""
        renderer = self.renderer if size is None else Renderer(size, gradient=self.config.gradient)
        return renderer.silhouette(crop_to_px(vertices_crop, size or self.config.size), self.hand.faces)

    def resize(self, images: Float[Tensor, "b 3 h w"], size: int | None = None) -> Float[Tensor, "b 3 s s"]:
        """Images at the side of F's input, or at another."""
        size = size or self.config.size
        if images.shape[-1] == size:
            return images
        return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)

    def save(self, path: str | os.PathLike[str], notes: dict[str, str] | None = None, half: bool = False) -> None:
        """Writes the weights and the config as one safetensors file; the hand model is not part of it.

        `notes` are kept beside them: how the weights were trained. half: matrices in half precision, for a file of
        half the size; what normalizes stays in single precision.
        """
        weights = {k: v.contiguous() for k, v in self.state_dict().items() if _own(k)}
        if half:
            weights = {k: v.half() if v.ndim > 1 else v for k, v in weights.items()}
        metadata = {"config": json.dumps(asdict(self.config)), **(notes or {})}
        from .support.digests import digest_of  # late: only files need it

        write_tensors(path, weights, metadata | {"digest": digest_of([weights, metadata])})

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str] = "lite") -> "DHPE":
        """A trained model in evaluation mode: "lite" or "photo", which ship, or a file written by `save`."""
        path = checkpoint_path(as_path("name_or_path", name_or_path))
        weights, metadata = read_checkpoint(path)
        model = cls(read_config(DHPEConfig, metadata, path), published=False)
        own = {k for k in model.state_dict() if _own(k)}
        if own != weights.keys():
            names = ", ".join(sorted(own ^ weights.keys())[:3])
            raise ValueError(f"{path}: its weights do not fit its config ({names} …); was it made by another version?")
        state = model.state_dict()
        for name, value in weights.items():
            if value.is_floating_point() != state[name].is_floating_point() or not value.isfinite().all():
                raise ValueError(f"{path}: '{name}' holds NaN, infinity or {value.dtype}: train or download it again")
        try:
            model.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise ValueError(f"{path}: {str(error).splitlines()[-1].strip()}") from error
        model.provenance = {key: text for key, text in metadata.items() if key != "config"}
        return model.eval()


def _own(key: str) -> bool:
    """Whether a tensor of a model's state belongs in its checkpoint: a network that ships beside it does not."""
    return not key.startswith("feature_extractor.network.")


def new_evidence(config: DHPEConfig) -> tuple[nn.Module, nn.Module | None]:
    """E2D of Eq. 1: F, and J2D unless the config does without. Each trunk's networks are loaded where they are chosen.

    Weights are random, but for the photo trunk, which is both in one and has the published weights that ship.
    """
    if config.trunk == "photo":
        from .networks.photo_trunk import PhotoTrunk
        from .networks.published import load_landmarks

        trunk = PhotoTrunk(config.principal)
        load_landmarks(trunk.network)
        return trunk, None
    if config.trunk == "paper":
        from .networks.resnet import ResNet50

        features = ResNet50()
    else:
        features = FeatureExtractor(config.feature_width, config.features)
    return features.to(memory_format=LAYOUT), new_pose_network(config) if config.evidence_2d else None


def new_pose_network(config: DHPEConfig) -> nn.Module:
    """J2D of the config's trunk with random weights. It looks at images of `DHPEConfig.pose_side`."""
    if config.trunk == "paper":
        from .networks.pose_machine import PoseMachine

        return PoseMachine().to(memory_format=LAYOUT)
    return PoseNetwork(config.pose_width).to(memory_format=LAYOUT)


def at_least_single(values: Tensor) -> Tensor:
    """The same numbers in single precision, where they were in half."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def check_images(images: Tensor, finite: bool = True) -> None:
    """`ValueError` for what cannot be a batch of square crops of finite numbers."""
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images must be (B, 3, H, H): square RGB crops; got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floats in [0, 1], got {images.dtype}: divide bytes by 255")
    if finite and images.numel():
        low, high = map(float, images.aminmax())
        if not math.isfinite(low + high):
            raise ValueError("images hold NaN or infinity")
        if low < -OVERSHOOT or high > 1 + OVERSHOOT:
            raise ValueError(f"images must be in [0, 1], got values from {low:.4g} to {high:.4g}: rescale them")
