"""The hand explorer: a hand to pose and shape in the browser, without a kernel.

The output contains the model's numbers and `static/explorer.js`, which skins the hand as `HandModel` does and draws it
as the live page does. It works on HTML pages without a network, in Jupyter and in Colab.
"""

from importlib.resources import files
from uuid import uuid4

import torch
from jaxtyping import Float
from torch import Tensor

from ..hand import HandModel
from ..hand.anatomy import joint_angles, joint_axes, joint_limits
from ..hand.joints import FINGERS, MANO16
from .framed import script_json
from .packing import hand_arrays, packed, vertex_colors
from .scripts import joined
from .stills import FINGER_COLORS

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

    def __init__(self, data: dict):
        self.data = data

    def __repr__(self) -> str:
        return f"HandExplorer({self.data['name']}, {len(self.data['poses'])} poses)"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """Returns the explorer as an HTML fragment for any page; each call uses a new id."""
        style, script = (files("handlib.viz") / "static/explorer.css").read_text("utf-8"), joined("explorer.js")
        name = f"hand-explorer-{uuid4().hex[:8]}"
        return (
            f'<style>\n{style}</style>\n<div id="{name}" class="handlib-explorer">'
            "The hand explorer needs JavaScript; in Jupyter, trust the notebook or run the cell.</div>\n"
            f'<script>\n(() => {{\n{script}\nstartExplorer("{name}", {script_json(self.data)});\n}})();\n</script>'
        )


def hand_explorer(hand: HandModel, poses: dict[str, Tensor] | None = None, height: int = 460) -> HandExplorer:
    """Makes a hand with sliders for pose and shape, computed in the reader's browser; end a cell with it to show it.

    poses: by name, each of 45 radians; the first one is shown first. By default the mean and the flat hand, then the
    poses that the model names, or else a few bends. height: of the figure in pixels.

    The output contains the whole model: do not publish it if the model's license forbids distribution (MANO's does).
    """
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
        "hand": {name: value if isinstance(value, float) else packed(value) for name, value in arrays.items()},
        "poses": [[name, packed(pose)] for name, pose in poses.items()],
        "samples": packed(torch.cat([pose, shape], 1)),
        "synergies": [
            [f"{name} curl", packed(full), 0] if name in FINGERS else [name, packed(full), SPREAD_LOW]
            for name, full in synergies().items()
        ],
        "fingers": [[finger, _joints_of(finger)] for finger in FINGERS],
        "colors": packed(vertex_colors(hand)),
        "fingerColors": FINGER_COLORS,
        "center": center,
        "span": span,
        "height": height,
    }
    return HandExplorer(data)


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
