"""The hand explorer: a hand to pose and shape in the browser, without a kernel.

The output contains the model's numbers and `static/explorer.js`, which skins the hand as `HandModel` does. It works on
HTML pages without a network, in Jupyter and in Colab.
"""

import base64
import hashlib
import json
from importlib.resources import files
from uuid import uuid4

import numpy as np
import plotly.io as pio
import torch
from jaxtyping import Float
from plotly.offline import get_plotlyjs, get_plotlyjs_version
from torch import Tensor

from ..hand import HandModel
from ..hand.anatomy import joint_angles, joint_axes, joint_limits
from ..hand.files import PARENTS, V
from ..hand.joints import FINGERS, MANO16
from ..hand.mesh import boundary_loop
from .plots import FINGER_COLORS, LIGHT, LIGHT_POSITION
from .scripts import joined

SAMPLES = 36  # random hands in the output
SPREAD_LOW = -50  # percent; fingers also close

# Degrees (twist, flexion, abduction) of each joint of a fully bent digit, base to tip; angles of zero do not move.
_CURL = {"finger": ((0, 80, 0), (0, 100, 0), (0, 65, 0)), "thumb": ((-20, 25, 0), (0, 40, 0), (0, 65, 0))}
_SPREAD = {"index": 15, "middle": 4, "ring": -7, "little": -18}  # degrees of abduction at the base
# For hands without named poses: fractions of full bends, thumb to little, and of the spread; no digits overlap.
_PRESETS = {
    "fist": (0.2, 0.95, 0.95, 0.95, 0.95, 0),
    "point": (0.3, 0, 0.95, 0.95, 0.95, 0),
    "victory": (0.3, 0, 0, 0.95, 0.95, 1),
}


class HandExplorer:
    """The result of `hand_explorer`, which Jupyter, Colab and Sphinx show as HTML."""

    def __init__(self, data: dict, include_plotlyjs: bool | str):
        self.data, self.include_plotlyjs = data, include_plotlyjs

    def __repr__(self) -> str:
        return f"HandExplorer({self.data['name']}, {len(self.data['poses'])} poses)"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """Returns the explorer as an HTML fragment for any page; each call uses a new id."""
        style, script = (files("handlib.viz") / "static/explorer.css").read_text("utf-8"), joined("explorer.js")
        name = f"hand-explorer-{uuid4().hex[:8]}"
        data = json.dumps(self.data, separators=(",", ":")).replace("<", "\\u003c")  # so that no name ends the script
        plotly = f"<script>{get_plotlyjs()}</script>\n" if self.include_plotlyjs is True else ""
        # The class of plotly's figures tells a page that it needs plotly.js.
        return (
            f'{plotly}<style>\n{style}</style>\n<div id="{name}" class="handlib-explorer plotly-graph-div">'
            "The hand explorer needs JavaScript; in Jupyter, trust the notebook or run the cell.</div>\n"
            f'<script>\n(() => {{\n{script}\nstartExplorer("{name}", {data});\n}})();\n</script>'
        )


def hand_explorer(
    hand: HandModel,
    poses: dict[str, Tensor] | None = None,
    height: int = 460,
    include_plotlyjs: bool | str | None = None,
) -> HandExplorer:
    """Makes a hand with sliders for pose and shape, computed in the reader's browser; end a cell with it to show it.

    poses: by name, each of 45 radians; the first one is shown first. By default the mean and the flat hand, then the
    poses that the model names, or else a few bends. height: of the figure in pixels.
    include_plotlyjs, as in plotly: "cdn" loads plotly.js if the page has none, True puts it into the output (5 MB, no
    network), False expects it on the page. By default the attribute of this name of plotly's default renderer, or
    "cdn" if there is none.

    The output contains the whole model: do not publish it if the model's license forbids distribution (MANO's does).
    """
    if include_plotlyjs is None:
        # The default may also be empty, or several names.
        renderer = pio.renderers[pio.renderers.default] if pio.renderers.default in pio.renderers else None
        include_plotlyjs = getattr(renderer, "include_plotlyjs", "cdn")
    if include_plotlyjs not in (True, False, "cdn"):
        raise ValueError(f"include_plotlyjs must be True, False or 'cdn', not {include_plotlyjs!r}")
    poses = named_poses(hand) if poses is None else dict(poses)
    if not poses:
        raise ValueError("poses is empty: give at least one named pose, or None for the usual ones")
    for name, pose in poses.items():
        if pose.shape != (45,) or not pose.isfinite().all():
            raise ValueError(f"pose '{name}' must be 45 finite numbers: got shape {tuple(pose.shape)}")

    axes = joint_axes(hand).cpu()
    pose, shape = torch.empty(0, 45), torch.empty(0, 10)
    if len(hand.pose_samples):
        pose, shape = hand.sample(SAMPLES, torch.Generator().manual_seed(0))
    center, span = _view(hand)
    arrays = hand_arrays(hand) | {"axes": axes.numpy(), "limits": _limits(axes, [*poses.values(), pose]).numpy()}
    data = {
        "name": hand.name,
        "hand": {name: _pack(value) if isinstance(value, np.ndarray) else value for name, value in arrays.items()},
        "poses": [[name, _pack(pose)] for name, pose in poses.items()],
        "samples": _pack(torch.cat([pose, shape], 1)),
        "synergies": [
            [f"{name} curl", _pack(full), 0] if name in FINGERS else [name, _pack(full), SPREAD_LOW]
            for name, full in synergies().items()
        ],
        "fingers": [[finger, _joints_of(finger)] for finger in FINGERS],
        "colors": _pack((255 * hand.vertex_colors).round().byte()),
        "fingerColors": FINGER_COLORS,
        "lighting": LIGHT,
        "lightposition": LIGHT_POSITION,
        "center": center,
        "span": span,
        "height": height,
        "plotly": {},
    }
    if include_plotlyjs == "cdn":
        digest = base64.b64encode(hashlib.sha256(get_plotlyjs().encode()).digest()).decode()
        url = f"https://cdn.plot.ly/plotly-{get_plotlyjs_version()}.min.js"
        data["plotly"] = {"url": url, "integrity": f"sha256-{digest}"}
    return HandExplorer(data, include_plotlyjs)


def named_poses(hand: HandModel) -> dict[str, Float[Tensor, "45"]]:
    """Returns the mean and the flat hand, then the poses that the model names, or a few bends if it names none."""
    named = hand.named_poses or {name: bend(hand, *parts) for name, parts in _PRESETS.items()}
    return {"mean": hand.mean_pose, "flat": torch.zeros_like(hand.mean_pose)} | named


def synergies() -> dict[str, Float[Tensor, "15 3"]]:
    """Returns the angles that one slider moves together, in degrees at 100 %: the curl of each digit, and "spread"."""
    moved = {}
    for finger in FINGERS:
        moved[finger] = torch.zeros(15, 3)
        for row, (_, joint) in zip(_CURL.get(finger, _CURL["finger"]), _joints_of(finger), strict=True):
            moved[finger][joint] = torch.tensor(row)
    moved["spread"] = torch.zeros(15, 3)
    for finger, degrees in _SPREAD.items():
        moved["spread"][_joints_of(finger)[0][1], 2] = degrees
    return moved


def bend(hand: HandModel, *shares: float) -> Float[Tensor, "45"]:
    """Returns the flat hand with thumb to little finger curled, and all spread, by fractions of the full angles."""
    degrees = sum(share * full for share, full in zip(shares, synergies().values(), strict=True))
    return (joint_axes(hand).mT @ torch.deg2rad(degrees).to(hand.mean_pose)[..., None]).flatten()  # θ = Aᵀ a


def _joints_of(finger: str) -> list[tuple[str, int]]:
    """Returns the clinical name of each joint and its row in the pose, base to tip."""
    names = ("CMC", "MCP", "IP") if finger == "thumb" else ("MCP", "PIP", "DIP")
    return [(name, MANO16.index(f"{finger}{n}") - 1) for n, name in enumerate(names, 1)]


def _limits(axes: Tensor, poses: list[Tensor]) -> Float[Tensor, "15 3 2"]:
    """Returns the ends of the sliders in degrees: the joint limits, extended to include all poses."""
    angles = joint_angles(torch.cat([pose.detach().cpu().reshape(-1, 45) for pose in poses]), axes)
    low, high = joint_limits()
    ends = torch.rad2deg(torch.stack([torch.minimum(low, angles.amin(0)), torch.maximum(high, angles.amax(0))], -1))
    return torch.stack([ends[..., 0].floor(), ends[..., 1].ceil()], -1)


def _view(hand: HandModel) -> tuple[list[float], float]:
    """Returns center and half the side, in the figure's axes (−z, −x, y), of a cube in which every hand fits."""
    low, high = hand.template.amin(0), hand.template.amax(0)
    x, y, z = ((low + high) / 2).tolist()
    return [-z, -x, y], 0.56 * float((high - low).max())


# ---- numbers as text


def _pack(values: Tensor | np.ndarray) -> list[str]:
    """Encodes a typed array for JavaScript: its type and its little-endian bytes in base64."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else values
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return [array.dtype.str[1:], base64.b64encode(array.tobytes()).decode()]


def _quantize(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Rounds to int16 and returns the unit; the error is 0.1 µm for the open hand's largest corrective."""
    scale = float(np.abs(values).max()) / 32767 or 1.0
    return np.round(values / scale).astype(np.int16), scale


def hand_arrays(hand: HandModel) -> dict[str, np.ndarray | float]:
    """Packs what `Hand` (live/hand.js) needs: blend shapes as int16; correctives, weights and Reg without zeros."""
    blend = hand.blend_shapes.unflatten(1, (3, V)).transpose(1, 2).cpu().numpy()  # vertex by vertex
    shapes, shape_scale = _quantize(blend[:10])
    correctives, corrective_scale = _quantize(blend[10:])
    blocks = correctives.reshape(15, 9, V, 3).transpose(0, 2, 3, 1)  # joint, vertex: 3 × 9 entries
    near = blocks.any((2, 3))
    weights, regressor = hand.weights.cpu().numpy(), hand.joint_regressor.cpu().numpy()
    return {
        "parents": np.array(PARENTS, np.int16),
        "template": hand.template.cpu().numpy(),
        "faces": hand.faces.cpu().numpy().astype(np.uint16),
        "boundary": np.asarray(boundary_loop(hand.faces)).astype(np.uint16),
        "shapeScale": shape_scale,
        "shapes": shapes,
        "correctiveScale": corrective_scale,
        "correctives": blocks[near],
        "correctiveCounts": near.sum(1).astype(np.uint16),
        "correctiveVertices": near.nonzero()[1].astype(np.uint16),
        "jointTemplate": hand.joint_template.cpu().numpy(),
        "jointShapes": hand.joint_shapes.cpu().numpy(),
        "weights": weights[weights != 0],
        "weightCounts": (weights != 0).sum(1).astype(np.uint8),
        "weightBones": weights.nonzero()[1].astype(np.uint8),
        "regressor": regressor[regressor != 0],
        "regressorCounts": (regressor != 0).sum(1).astype(np.uint16),
        "regressorVertices": regressor.nonzero()[1].astype(np.uint16),
    }
