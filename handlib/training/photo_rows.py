"""Rows from photographs of hands without labels: the answers of a fit to their evidence stand in for the truth.

A fit (fitting/lift.py) weighs the evidence against what hands can do, so its answers are better than the evidence; E3D
learns from them what rendered hands cannot show. Hands that the network or the fit doubts are left out.
"""

from pathlib import Path

import torch
from tqdm.auto import tqdm

from ..dhpe import DHPE
from ..photo.predict import Predictor, camera_of, mirrored_K
from ..photo.pyramid import Pyramid
from ..photo.read import read_photo
from ..support.images import SUFFIXES
from .evidence_rows import EvidenceRows

PRESENT = 0.7  # least presence
KEPT = 0.9  # of the hands, those of least energy


@torch.no_grad()
def photo_rows(model: DHPE, folder: str | Path, progress: bool = True) -> EvidenceRows:
    """One row for each photograph below a folder in which a hand is found. Left hands are mirrored."""
    paths = Path(folder).expanduser().rglob("*")
    files = sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise ValueError(f"{folder}: no photographs ({', '.join(SUFFIXES)}); name a folder of them or leave it out")
    training = model.training
    predictor, rows, energies = Predictor(model), [], []
    for path in tqdm(files, "photographs", disable=not progress):
        photo = read_photo(path)
        pyramid = Pyramid(photo.pixels, photo.reduction)
        found = predictor.finder.find(pyramid, 1)
        if not found:
            continue
        left, width = torch.tensor([float(found[0].evidence.right) < 0.5]), float(photo.size[0])
        crop, evidence = predictor.last_look(pyramid, found[0].points_px[None], left)
        if float(evidence.presence) < PRESENT:
            continue
        K = mirrored_K(camera_of(photo, None, crop)[0], left, width)
        first = predictor.model.estimate_upright(evidence)
        guess = predictor.lifter.guess(crop, evidence, first)
        lifted = predictor.lifter(crop.to_px(evidence.points[..., :2]), guess, K)
        joints, vertices = lifted.output.joints_3d + lifted.output.root_cam[:, None], lifted.output.vertices
        rows.append(EvidenceRows(evidence.features.half(), evidence.points, evidence.points_3d, evidence.presence,
                                 *crop, K, joints, vertices.half()))  # fmt: skip
        energies.append(lifted.energy)
    model.train(training)
    if not rows:
        raise ValueError(f"{folder}: no hand is found in its photographs; name another folder or leave it out")
    together = EvidenceRows(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
    return together.take(torch.cat(energies).argsort()[: max(1, int(KEPT * len(energies)))])
