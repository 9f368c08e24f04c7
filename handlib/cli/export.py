"""`handlib export`: hands and models for other programs."""

from pathlib import Path
from typing import Literal

import tyro

from ..dhpe import DHPE
from ..export.hands import MEAN, mesh_of, own_hand, read_placed, write_open_hand, write_parameters
from ..export.onnx import export_onnx
from ..hand import HandModel
from ..photo.mano_parameters import PlacedHand
from ..photo.meshes import WRITERS, write_meshes

PARAMETERS = (".json", ".npz")
MOST = 20  # hands of one mesh file


def export_command(
    source: tyro.conf.Positional[str],
    /,
    out: Path,
    hand: int | None = None,
    frame: int | None = None,
    watertight: bool = False,
    unit: Literal["m", "mm"] | None = None,
    side: Literal["right", "left"] | None = None,
    hand_model: str = "openhand",
) -> None:
    """Writes hands as meshes or as parameters for smplx, or a model as ONNX. The extension of OUT decides which.

    A mesh, .obj .ply .glb .stl, of hands that `handlib predict` wrote, or of the hand model itself:
        handlib export out/photo.json --out hands.glb
        handlib export fist --out fist.stl                         (closed and in millimeters, for printing)
        handlib export out/clip.npz --frame 40 --out frame.ply

    Parameters under smplx's names, .json .npz: global_orient, hand_pose, betas, transl and is_rhand of each hand.
        handlib export out/photo.json --out smplx.npz

    smplx applies them to the hand model that they were estimated with, which you have to write for it once:
        handlib export openhand --out models/mano/MANO_RIGHT.npz
        handlib export openhand --out models/mano/MANO_LEFT.npz --side left
        smplx.create("models", "mano", ext="npz", is_rhand=…, use_pca=False, flat_hand_mean=True)      (Python)

    A model, .onnx: from crops of hands to `DHPEOutput`'s tensors under their names, in batches of any size. It is
    compared with torch in ONNX Runtime before it is written. Needs handlib[onnx]; takes about a minute.
        handlib export lite --out lite.onnx

    Args:
        source: NAME.json or NAME.npz of `handlib predict`; parameters under smplx's names in such a file; "mean", the
            mean hand, or a pose such as "fist"; "openhand", the hand model for smplx; for .onnx "lite", "photo" or a
            model.safetensors.
        out: File to write.
        hand: Number of the hand in the file, from 0 on; all hands by default.
        frame: Number of the frame of a video.
        watertight: Close the wrist, so that the mesh has an inside. STL always is.
        unit: Meters or millimeters. Default: m, but mm in STL, because slicers read its numbers as millimeters.
        side: Left or right, for one of the hand model's own hands; right by default.
        hand_model: What the hands were estimated with: "openhand", or the path of a MANO file.
    """
    kind = out.suffix.lower()
    if kind not in (*WRITERS, *PARAMETERS, ".onnx"):
        raise ValueError(f"--out {out}: name it {', '.join((*WRITERS, *PARAMETERS))} or .onnx")
    _refuse(kind not in WRITERS and watertight, "--watertight", "for meshes")
    _refuse(kind not in WRITERS and unit is not None, "--unit", "for meshes")
    if kind == ".onnx":
        given = (hand, frame, side, hand_model) != (None, None, None, "openhand")
        _refuse(given, "--hand, --frame, --side or --hand-model", "for hands")
        off = export_onnx(DHPE.from_pretrained(source), out)
        print("wrote", out, "with the outputs", ", ".join(off))
        name = max(off, key=off.get)
        print(f"largest difference from torch: {off[name]:.1e} in {name}; vertices {off['vertices']:.1e} m")
        return
    if source == "openhand":
        _refuse((hand, frame, hand_model) != (None, None, "openhand"), "--hand, --frame or --hand-model", "for hands")
        write_open_hand(out, side or "right")
        print("wrote", out)
        return
    model = HandModel.load(hand_model).double()
    placed = _placed(source, model, hand, frame, side)
    if kind in PARAMETERS:
        write_parameters(out, model, placed)
    else:
        if len(placed) > MOST:
            raise ValueError(f"{source}: {len(placed)} hands would lie in one mesh: choose with --frame or --hand")
        write_meshes(out, [mesh_of(model, one) for one in placed], watertight or None, unit)
    print("wrote", out, "with", ", ".join(f"{one.side} hand" for one in placed[:4]) + ", …" * (len(placed) > 4))


def _placed(source: str, model: HandModel, hand: int | None, frame: int | None, side: str | None) -> list[PlacedHand]:
    if source == MEAN or source in model.named_poses:
        _refuse((hand, frame) != (None, None), "--hand or --frame", "for files")
        return [own_hand(model, source, side or "right")]
    _refuse(side is not None, "--side", "for the hand model's own hands, such as mean,")
    if not Path(source).suffix:
        own = ", ".join((MEAN, *model.named_poses))
        raise ValueError(f"'{source}' is neither a .json or .npz of hands nor one of the hand model's own: {own}")
    placed = read_placed(source, model, frame)
    if not placed:
        raise ValueError(f"{source}: no hand" + (f" in frame {frame}" if frame is not None else " in this file"))
    if hand is None:
        return placed
    if not 0 <= hand < len(placed):
        raise ValueError(f"--hand {hand}: {source} has the hands 0 … {len(placed) - 1}")
    return [placed[hand]]


def _refuse(wrong: bool, option: str, what_for: str) -> None:
    if wrong:
        raise ValueError(f"{option} is only {what_for}: leave it out")
