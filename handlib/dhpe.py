"""DHPE: one RGB crop of a right hand to its 3D mesh (Eq. 1): evidence, iterative regression, projection."""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from .camera import crop_to_px
from .evidence import FeatureExtractor, PoseNetwork, heatmap_peaks
from .files import atomic_path
from .hand import HandModel
from .mesh import cotangent_laplacian
from .output import DHPEOutput, assemble
from .regressor import Regressor
from .renderer import Renderer

WEIGHTS = Path(__file__).parent / "weights"  # what ships: from_pretrained("lite") reads lite.safetensors
MAX_BYTES = 1 << 30


@dataclass(frozen=True)
class DHPEConfig:
    """Everything that shapes the network. The defaults are the size named lite."""

    size: int = 128  # side of the input in pixels; images of other sizes are resized
    feature_width: int = 16  # channels of F's first layer
    features: int = 256  # length of F(x); 2048 in the paper
    pose_width: int = 16  # channels of J2D's first layer
    hidden: int = 512  # width of E3D's and Ref's two hidden layers; 0 for the paper's single layers
    iterations: int = 3
    pose_refiner: bool = True  # Eq. 6
    subpixel: bool = True  # heat-map peaks finer than a pixel; the paper takes the highest pixel
    hand: str = "openhand"
    fingertips: str = "smplx"


class DHPE(nn.Module):
    """The whole estimator: `DHPE(config)` starts from random weights, `DHPE.from_pretrained("lite")` from ours."""

    def __init__(self, config: DHPEConfig | None = None):
        super().__init__()
        self.config = config = config or DHPEConfig()
        self.hand = HandModel.load(config.hand, config.fingertips)
        # channels_last: the layout in which a CPU convolves fastest
        self.feature_extractor = FeatureExtractor(config.feature_width, config.features).to(
            memory_format=torch.channels_last
        )
        self.pose_network = PoseNetwork(config.pose_width).to(memory_format=torch.channels_last)
        self.regressor = Regressor(self.hand, config.features, config.hidden, config.iterations, config.pose_refiner)
        self.renderer = Renderer(config.size)
        self.provenance: dict[str, str] = {}  # how the weights came about, as written by `save`
        self.register_buffer("laplacian", cotangent_laplacian(self.hand.template, self.hand.faces), persistent=False)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> DHPEOutput:
        """images: sRGB in [0, 1], square crops of 1.5 × the hand's box; any size, resized inside."""
        size = _check(images)
        small = self.resize(images)
        features, heatmaps = self.feature_extractor(small), self.pose_network(small)
        return self.estimate(features, heatmaps, size)

    def estimate(self, features: Float[Tensor, "b c"], heatmaps: Float[Tensor, "b 21 s s"], size: int) -> DHPEOutput:
        """From evidence to a hand; `size` is that of the image in whose pixels joints_2d are given."""
        peaks = heatmap_peaks(heatmaps, self.config.subpixel)
        states = self.regressor(self.hand, features, peaks)
        return assemble(self.hand, states, size, heatmaps, features)

    def render_mask(
        self, vertices_crop: Float[Tensor, "*batch 778 3"], size: int | None = None
    ) -> Float[Tensor, "*batch s s"]:
        """Ren(m): the silhouette of meshes in crop coordinates, at the network's size or another."""
        renderer = self.renderer if size is None else Renderer(size)
        return renderer.silhouette(crop_to_px(vertices_crop, size or self.config.size), self.hand.faces)

    def resize(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 s s"]:
        size = self.config.size
        if images.shape[-1] == size:
            return images
        return functional.interpolate(images, (size, size), mode="bilinear", antialias=True)

    def save(self, path: str | os.PathLike[str], notes: dict[str, str] | None = None, half: bool = False) -> None:
        """Writes the weights and the config as one safetensors file; the hand model is not part of it.

        `notes` are kept beside them: how the weights were trained. half: matrices in half precision, for a file of
        half the size; what normalises stays in single precision.
        """
        weights = {k: v.contiguous() for k, v in self.state_dict().items() if not k.startswith("hand.")}
        if half:
            weights = {k: v.half() if v.ndim > 1 else v for k, v in weights.items()}
        metadata = {"config": json.dumps(asdict(self.config)), **(notes or {})}
        with atomic_path(path) as temporary:
            save_file(weights, temporary, metadata)

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike[str] = "lite") -> "DHPE":
        """A trained model in evaluation mode: `"lite"`, which ships with handlib, or a file written by `save`."""
        path = Path(name_or_path).expanduser()
        if str(name_or_path) == "lite":
            path = WEIGHTS / "lite.safetensors"
        if not path.is_file():
            raise FileNotFoundError(f"no checkpoint at {path}: name 'lite', or make one with `handlib train`")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(
                f"{path}: larger than any DHPE checkpoint ({path.stat().st_size >> 20} MB); refused unread"
            )
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise ValueError(f"{path}: not a safetensors checkpoint ({error}); is the file complete?") from error
        model = cls(_read_config(metadata, path))
        own = {k for k in model.state_dict() if not k.startswith("hand.")}
        if own != weights.keys():
            names = ", ".join(sorted(own ^ weights.keys())[:3])
            raise ValueError(f"{path}: its weights do not fit its config ({names} …); was it made by another version?")
        try:
            model.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise ValueError(f"{path}: {str(error).splitlines()[-1].strip()}") from error
        model.provenance = {key: text for key, text in metadata.items() if key != "config"}
        return model.eval()


def _read_config(metadata: dict[str, str], path: Path) -> DHPEConfig:
    try:
        config = json.loads(metadata["config"])
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: holds no DHPE config, so it was not written by `DHPE.save`") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: its config is not a JSON object, so it was not written by `DHPE.save`")
    known = {field.name: field.type for field in fields(DHPEConfig)}
    for name, value in config.items():
        if name not in known:
            raise ValueError(f"{path}: unknown config field '{name}'; update handlib to read it")
        if type(value) is not known[name] or (known[name] is int and not 0 <= value <= 1 << 16):
            raise ValueError(f"{path}: the config field '{name}' must be {known[name].__name__}, not {value!r}")
    return DHPEConfig(**config)


def _check(images: Tensor) -> int:
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images must be (B, 3, H, H): square RGB crops; got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"images must be floats in [0, 1], got {images.dtype}: divide bytes by 255")
    if not torch.isfinite(images).all():
        raise ValueError("images hold NaN or infinity")
    return images.shape[-1]
