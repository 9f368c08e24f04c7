"""Plotly figures: meshes to turn, films, PCK and other curves. Also gives the still images of stills.py.

The figures work in Jupyter, in Colab and, without a kernel or a network, on HTML pages.
"""

import textwrap
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from ..hand.joints import BONES
from .packing import encoded
from .stills import (  # noqa: F401  # fmt: skip
    FINGER_COLORS,
    augmentation_sheet,
    contact_sheet,
    draw_arrows,
    draw_skeleton,
    overlay,
    to_bytes,
    to_image,
)

DASHES = ("solid", "dash", "dot", "dashdot")  # curves differ by more than color
SKIN = "rgb(222,168,143)"
LIGHT = dict(ambient=0.5, diffuse=0.7, specular=0.15, roughness=0.6)
LIGHT_POSITION = dict(x=1, y=3, z=3)
CONTROLS = 135  # pixels that the slider and the buttons of a film take


# Accessibility: Tab reaches a figure, a screen reader says what it shows, and the arrow keys move its slider. A film is
# no higher than its pictures are where it is narrow, as on a phone.
ACCESS = """
const figure = document.getElementById("{plot_id}"), layout = figure.layout;
figure.tabIndex = 0;
figure.setAttribute("role", "group");
figure.setAttribute("aria-label", layout.meta || "figure");
const [film] = layout.images || [], width = figure.clientWidth;
if (film && width) {
  const height = Math.min(layout.height, CONTROLS + width * film.sizey / film.sizex);
  figure.style.height = figure.parentElement.style.height = `${height}px`;
  Plotly.relayout(figure, {height, "xaxis.range": [0, film.sizex], "yaxis.range": [film.sizey, 0]});
}
figure.addEventListener("keydown", event => {
  const slider = (layout.sliders || [])[0], step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
  if (!slider || !step) return;
  event.preventDefault();
  const active = Math.min(Math.max((figure.layout.sliders[0].active || 0) + step, 0), slider.steps.length - 1);
  Plotly.relayout(figure, {"sliders[0].active": active});
  Plotly.animate(figure, ...slider.steps[active].args);
  const value = slider.currentvalue.prefix + slider.steps[active].label;
  figure.setAttribute("aria-label", `${layout.meta || "figure"} ${value}`);
});
""".replace("CONTROLS", str(CONTROLS))


def upright(points: Float[Tensor, "*batch n 3"]) -> Float[Tensor, "*batch n 3"]:
    """Converts camera axes (y down, z away) to those of a figure: y up, z towards the viewer."""
    return points * points.new_tensor([1.0, -1.0, -1.0])


def mesh_figure(
    meshes: Float[Tensor, "v 3"] | Sequence[Float[Tensor, "v 3"]],
    faces: Int[Tensor, "f 3"],
    colors: Float[Tensor, "v 3"] | Sequence[Float[Tensor, "v 3"]] | None = None,
    labels: Sequence[str] | None = None,
    slider: str = "step",
    title: str = "",
    alt: str = "A hand mesh that can be turned.",
    joints: Float[Tensor, "21 3"] | Sequence[Float[Tensor, "21 3"]] | None = None,
    height: int = 460,
) -> go.Figure:
    """Draws a mesh to turn with the mouse; several meshes become the steps of a slider.

    meshes: vertices with y up (`upright`), in any unit. colors: in [0, 1], one set for all meshes or one for each.
    joints: one skeleton per mesh, drawn inside it; the skin is then translucent. alt: a description of the figure for
    those who cannot see it. height: in pixels.
    """
    meshes = [meshes] if isinstance(meshes, Tensor) else list(meshes)
    joints = [] if joints is None else [joints] if isinstance(joints, Tensor) else list(joints)
    labels = list(labels or map(str, range(len(meshes))))
    each = [] if colors is None or isinstance(colors, Tensor) else [{"vertexcolor": to_bytes(c)} for c in colors]
    first = colors if isinstance(colors, Tensor) else None
    paint = each[0] if each else {"color": SKIN} if first is None else {"vertexcolor": to_bytes(first)}
    i, j, k = faces.cpu().numpy().T
    solid = go.Mesh3d(
        i=i, j=j, k=k, **_xyz(meshes[0]), **paint, opacity=0.45 if joints else 1.0, hoverinfo="skip",
        lighting=LIGHT, lightposition=LIGHT_POSITION,
    )  # fmt: skip
    figure = go.Figure([solid, *(_bones(joints[0]) if joints else [])])
    everything = torch.cat([m.reshape(-1, 3) for m in meshes]).detach().cpu()
    low, high = everything.amin(0), everything.amax(0)
    span = float((high - low).max()) * 0.55
    axes = {
        axis: dict(visible=False, range=[float(c) - span, float(c) + span])
        for axis, c in zip(("xaxis", "yaxis", "zaxis"), (low + high) / 2, strict=True)
    }
    figure.update_layout(
        height=height, margin=dict(l=0, r=0, t=40 if title else 5, b=5), title=title, showlegend=False, meta=alt,
        scene=dict(
            aspectmode="cube", dragmode="orbit", camera=dict(up=dict(x=0, y=1, z=0), eye=dict(x=0.15, y=0.2, z=1.2)),
            **axes,
        ),
    )  # fmt: skip
    if len(meshes) > 1:
        frames = []
        for n, mesh in enumerate(meshes):
            parts = [go.Mesh3d(**_xyz(mesh), **(each[n] if each else {})), *(_bones(joints[n]) if joints else [])]
            frames.append(go.Frame(data=parts, name=labels[n]))
        figure.frames = frames
        figure.update_layout(sliders=[_slider(labels, slider)])
    return figure


def film(
    pictures: Sequence[Image.Image],
    labels: Sequence[str] | None = None,
    slider: str = "step",
    alt: str = "Images in a sequence.",
    seconds: float = 0.12,
) -> go.Figure:
    """Shows images of one size in sequence, with a slider and a button that plays them, `seconds` each."""
    labels = list(labels or map(str, range(len(pictures))))
    width, height = pictures[0].size
    whole = dict(xref="x", yref="y", x=0, y=0, sizex=width, sizey=height, layer="below")

    def shown(picture: Image.Image) -> dict:  # an image of the layout: plotly's bundle with meshes has no image traces
        # A data URL needs no network; WebP has a fifth of a PNG's size.
        return dict(images=[whole | dict(source=f"data:image/webp;base64,{encoded(picture, 'webp', 90)}")])

    frames = [go.Frame(layout=shown(p), name=label) for p, label in zip(pictures, labels, strict=True)]
    figure = go.Figure(go.Scatter(x=[], y=[], hoverinfo="skip"), layout=shown(pictures[0]), frames=frames)
    play = dict(frame=dict(duration=1000 * seconds, redraw=True), transition=dict(duration=0), fromcurrent=True)
    stop = dict(mode="immediate", frame=dict(duration=0, redraw=False), transition=dict(duration=0))
    buttons = [
        dict(label="▶ play", method="animate", args=[None, play]),
        dict(label="❚❚ pause", method="animate", args=[[None], stop]),
    ]
    menu = dict(type="buttons", direction="right", showactive=False, buttons=buttons, x=0, y=0, pad=dict(t=92))
    menu |= dict(xanchor="left", yanchor="top")
    figure.update_layout(
        height=min(height, 420) + CONTROLS + 70, margin=dict(l=0, r=0, t=5, b=5), meta=alt, dragmode=False,
        xaxis=dict(visible=False, range=[0, width]),
        yaxis=dict(visible=False, range=[height, 0], scaleanchor="x"),
        sliders=[_slider(labels, slider)], updatemenus=[menu],
    )  # fmt: skip
    return figure


def _slider(labels: Sequence[str], prefix: str) -> dict:
    move = dict(mode="immediate", frame=dict(duration=0, redraw=True), transition=dict(duration=0))
    steps = [dict(method="animate", label=label, args=[[label], move]) for label in labels]
    first, last = (max(12, 3.5 * len(label)) for label in (labels[0], labels[-1]))  # half a label stands out
    return dict(steps=steps, currentvalue=dict(prefix=f"{prefix}: "), pad=dict(t=10, b=10, l=first, r=last), x=0, len=1)


def _xyz(points: Tensor) -> dict[str, np.ndarray]:
    x, y, z = points.detach().cpu().float().numpy().T.round(5)
    return dict(x=x, y=y, z=z)


def _bones(joints: Tensor) -> list[go.Scatter3d]:
    traces = []
    for finger, color in enumerate(FINGER_COLORS):
        chain = [0, *(child for _, child in BONES[4 * finger : 4 * finger + 4])]
        traces.append(
            go.Scatter3d(**_xyz(joints[chain]), mode="lines+markers", line=dict(color=color, width=5),
                         marker=dict(size=3, color=color), hoverinfo="skip")
        )  # fmt: skip
    return traces


def pck_figure(curves: dict[str, dict[str, list[float]]], title: str = "", alt: str = "PCK curves.") -> go.Figure:
    """Draws PCK curves by name, each with the lists `threshold_mm` and `pck`."""
    lines = {_lines(name, 38): (curve["threshold_mm"], curve["pck"]) for name, curve in curves.items()}
    figure = _curves(lines, "error threshold (mm)", "joints within it", 340 + 20 * len(curves), alt)
    title = dict(text=_lines(title, 34), font_size=15)
    return figure.update_layout(title=title, yaxis_range=[0, 1.01], margin_t=50, legend_y=-0.25)


def lines_figure(
    x: Sequence[float], series: dict[str, Sequence[float]], x_title: str, y_title: str, alt: str = "Curves."
) -> go.Figure:
    """Draws named curves over a common x."""
    return _curves({name: (list(x), list(y)) for name, y in series.items()}, x_title, y_title, 360, alt)


def _curves(lines: dict[str, tuple[list, list]], x_title: str, y_title: str, height: int, alt: str) -> go.Figure:
    figure = go.Figure()
    for n, (name, (x, y)) in enumerate(lines.items()):
        figure.add_scatter(x=x, y=y, name=name, mode="lines", line_dash=DASHES[n % 4])
    return figure.update_layout(
        height=height, meta=alt, xaxis_title=_lines(x_title, 38), yaxis_title=_lines(y_title, 26),
        margin=dict(l=10, r=10, t=20, b=10), legend=dict(orientation="h", y=-0.3),
    )  # fmt: skip


def sphere_figure(clouds: dict[str, Float[Tensor, "n 3"]], alt: str = "Directions as points on spheres.") -> go.Figure:
    """Draws named sets of unit vectors as points on spheres side by side, to turn with the mouse."""
    figure, width = go.Figure(), 1 / len(clouds)
    grid = torch.linspace(0, 1, 25)
    polar, azimuth = torch.meshgrid(torch.pi * grid, 2 * torch.pi * grid, indexing="ij")
    ball = 0.98 * torch.stack([polar.sin() * azimuth.cos(), polar.sin() * azimuth.sin(), polar.cos()], -1)
    bare = dict(visible=False, range=[-1.05, 1.05])
    for n, (name, points) in enumerate(clouds.items()):
        scene = f"scene{n + 1 if n else ''}"
        x, y, z = ball.numpy().transpose(2, 0, 1).round(4)
        figure.add_surface(
            x=x, y=y, z=z, scene=scene, showscale=False, hoverinfo="skip", colorscale=[[0, "#e8e8e8"], [1, "#e8e8e8"]],
            lighting=dict(ambient=0.9, diffuse=0.2, specular=0.0),
        )  # fmt: skip
        figure.add_scatter3d(
            **_xyz(points), scene=scene, mode="markers", marker=dict(size=1.6, color="#2e5d8c"), hoverinfo="skip"
        )
        view = dict(aspectmode="cube", xaxis=bare, yaxis=bare, zaxis=bare, camera=dict(eye=dict(x=0.9, y=0.9, z=0.7)))
        figure.update_layout({scene: view | dict(domain=dict(x=[n * width, (n + 1) * width], y=[0, 0.92]))})
        figure.add_annotation(
            text=name, x=(n + 0.5) * width, y=1, xref="paper", yref="paper", xanchor="center", showarrow=False
        )
    figure.update_layout(height=330, margin=dict(l=0, r=0, t=5, b=0), showlegend=False, meta=alt)
    return figure


def _lines(text: str, letters: int) -> str:
    """Breaks a text that would not fit a phone, or the height of a plot."""
    return "<br>".join(textwrap.wrap(text, letters))
