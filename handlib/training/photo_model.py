"""Training of E3D and Ref of the trunk `photo`, whose evidence is frozen: minutes on one core.

Three steps, each kept in the folder of the run and resumed: rows of cached evidence (evidence_rows.py); lifting on
skeletons with the errors of these rows (skeletons.py), F being silent; tuning on the rows themselves, and, where a
folder of them is given, on photographs without labels, whose answers are those of a fit to their evidence
(photo_rows.py).
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..camera import CROP_FACTOR
from ..dhpe import DHPE, DHPEConfig
from ..evaluation.feature_controls import verdict_on_features
from ..evaluation.metrics import align, joint_errors_mm
from ..losses import articulation_loss, refiner_loss, reprojection_loss
from ..networks.photo_trunk import spread
from ..networks.turned_crop import HandEvidence
from ..parameters import MeshParameters
from ..support.arguments import check_fields
from ..support.digests import load_tensors, save_tensors
from ..support.files import write_json
from ..support.json_text import read_json
from .evidence_rows import EvidenceRows, evidence_rows
from .regressor import MEND, ignore_features, train_regressor
from .skeletons import CropTruth, ErrorBank, Seen, Skeletons, SkeletonSource, crop_truth

PART = 2000  # rows a file, so that an interrupted run goes on
CHUNK, CHUNK_STEPS = 10_000, 78  # skeletons at once, and for how many steps of 128


@dataclass(frozen=True)
class PhotoTraining:
    """How E3D and Ref of the photo trunk are trained. Rates are those of AdamW, at the top of one cycle."""

    rows: int = 16_000  # rendered hands
    lift_steps: int = 40_000
    lift_rate: float = 1e-3
    lift_batch: int = 128
    errors: float = 0.8  # of the rows' errors, at most; each hand draws a share of it
    lift_gate: float = 0.12  # mean 2D error over the hand's side, of rows whose errors are used
    tune_steps: int = 1200
    tune_rate: float = 2e-4
    tune_batch: int = 64
    tune_gate: float = 0.08  # … of rows to learn from: what is worse cannot be seen
    drop: float = 0.3  # how often F is left out: F of photographs is not that of rendered hands
    photographs: str = ""  # folder of photographs of hands, without labels, to tune on as well
    seed: int = 0
    principal: int = 128  # the model's own switches, for ablations
    hidden: int = 384
    iterations: int = 3
    pose_refiner: bool = True

    def __post_init__(self):
        check_fields(self)
        for name, least in (("rows", 1), ("lift_steps", 10), ("tune_steps", 10), ("lift_batch", 1), ("tune_batch", 3)):
            if getattr(self, name) < least:  # a cycle's rise takes a tenth of the steps, photographs a third of a batch
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")

    def model(self) -> DHPEConfig:
        names = ("principal", "hidden", "iterations", "pose_refiner")
        return DHPEConfig.photo(**{name: getattr(self, name) for name in names})


SMOKE = PhotoTraining(rows=48, lift_steps=20, tune_steps=10, hidden=32, principal=8)


class Batch(NamedTuple):
    inputs: Float[Tensor, "b c"]  # what E3D sees beside j2D
    points: Float[Tensor, "b 21 2"]  # j2D
    truth: CropTruth


def train_photo(config: PhotoTraining, out: str | os.PathLike[str], progress: bool = True) -> DHPE:
    """Trains in the folder `out`, or goes on there; returns the model, which is also out/model.safetensors.

    `ValueError` for a folder that holds a run of another config, and for too few rows that are seen well enough.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _check_config(config, out / "config.json")
    torch.manual_seed(config.seed)
    model = DHPE(config.model())
    rows = cached_rows(model, config, out, progress)
    model.feature_extractor.learn_directions(seen_well(rows, config.tune_gate).features.float())
    ignore_features(model.regressor, config.principal)
    stages = (
        ("lift", lambda: lift_batches(model, rows, config), config.lift_steps, config.lift_rate),
        ("tune", lambda: tune_batches(model, rows, config, progress), config.tune_steps, config.tune_rate),
    )
    for name, make, steps, rate in stages:
        batches = make()  # not before its turn: the answers for photographs start from the lifted E3D

        def loss(step: int, batches: Callable[[int], Batch] = batches) -> Tensor:
            return loss_of(model, batches(step))

        train_regressor(model.regressor, loss, steps, rate, 1e-5, out / f"{name}.pt", name, progress)
    some = seen_well(rows, config.tune_gate).take(slice(0, PART))
    notes = {"train": json.dumps(asdict(config)), "features": _about_features(model, some)}
    model.save(out / "model.safetensors", notes)
    return model.eval()


def _check_config(config: PhotoTraining, path: Path) -> None:
    """Writes the config into a new folder; what is in an old one must be of the same, or its steps would be mixed."""
    own = asdict(config)
    if not path.is_file():
        write_json(path, own)
        return
    kept = read_json(path, MEND)
    if not isinstance(kept, dict):
        raise ValueError(f"{path}: must hold an object; {MEND}")
    for name, value in own.items():
        if kept.get(name) != value:
            raise ValueError(f"{path}: a run with {name}={kept.get(name)!r}, not {value!r}; choose another folder")


# ---- the rows


def cached_rows(model: DHPE, config: PhotoTraining, out: Path, progress: bool) -> EvidenceRows:
    network, parts = model.feature_extractor.network, []
    for first in range(0, config.rows, PART):
        path, count = out / f"rows-{first:06d}.safetensors", min(PART, config.rows - first)
        if not path.is_file():
            rows = evidence_rows(network, "train", count, first, config.seed, progress)
            save_tensors(path, rows._asdict())
        tensors = load_tensors(path, MEND)
        if tensors.keys() != set(EvidenceRows._fields) or any(len(value) != count for value in tensors.values()):
            raise ValueError(f"{path}: must hold {count} rows of {', '.join(EvidenceRows._fields)}; {MEND}")
        parts.append(EvidenceRows(**tensors))
    return EvidenceRows(*(torch.cat(values) for values in zip(*parts, strict=True)))


def seen_well(rows: EvidenceRows, gate: float, presence: float = 0.0) -> EvidenceRows:
    """The rows whose mean 2D error over the hand's side is below the gate. `ValueError` where there is none."""
    well = (error_of(rows) < gate) & (rows.presence > presence)
    if not well.any():
        raise ValueError(f"none of {len(well)} rows has a 2D error below {gate}: use more rows or a wider gate")
    return rows.take(well)


def error_of(rows: EvidenceRows) -> Float[Tensor, " n"]:
    """Mean 2D error of the evidence over the hand's side."""
    truth = crop_truth(rows.joints_cam, rows.K, rows.crop)
    side = truth.omega / CROP_FACTOR
    return (rows.points[..., :2] - truth.joints_crop).norm(dim=-1).mean(1) / side


# ---- the batches


def lift_batches(model: DHPE, rows: EvidenceRows, config: PhotoTraining) -> Callable[[int], Batch]:
    bank = ErrorBank(seen_well(rows, config.lift_gate, presence=0.3))
    source, n = SkeletonSource(model.hand), config.lift_batch
    chunk: list[Skeletons] = []

    def batch(step: int) -> Batch:
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        if step % CHUNK_STEPS == 0 or not chunk:
            chunk[:] = [source(CHUNK, config.seed * 10_007 + step // CHUNK_STEPS)]
        some = chunk[0].take(torch.randint(CHUNK, (n,), generator=generator))
        share = config.errors * torch.rand(n, 1, 1, generator=generator)
        errors = bank.draw(some.facing, generator)
        seen = Seen(*(a + share.view(-1, *[1] * (a.ndim - 1)) * e for a, e in zip(some.seen, errors, strict=True)))
        silent = torch.zeros(n, config.principal)
        return Batch(torch.cat([silent, seen.depths, spread(seen.points_3d)], 1), seen.points, some.truth)

    return batch


def tune_batches(
    model: DHPE, rows: EvidenceRows, config: PhotoTraining, progress: bool = True
) -> Callable[[int], Batch]:
    rows = seen_well(rows, config.tune_gate)
    inputs, points = _conditions(model, rows), rows.points[..., :2]
    truth = crop_truth(rows.joints_cam, rows.K, rows.crop)
    photographs = 0
    if config.photographs:
        from .photo_rows import photo_rows

        more = photo_rows(model, config.photographs, progress)
        photographs = len(more.points)
        inputs, points = torch.cat([inputs, _conditions(model, more)]), torch.cat([points, more.points[..., :2]])
        own = crop_truth(more.joints_cam, more.K, more.crop)
        truth = CropTruth(*(torch.cat(parts) for parts in zip(truth, own, strict=True)))

    def batch(step: int) -> Batch:
        generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        n = config.tune_batch
        index = torch.randint(len(rows.points), (n,), generator=generator)
        if photographs:  # a third of each batch
            some = len(rows.points) + torch.randint(photographs, (n // 3,), generator=generator)
            index = torch.cat([index[: n - n // 3], some])
        seen = inputs[index]
        seen[:, : config.principal] *= torch.rand(n, 1, generator=generator) >= config.drop
        noise = 0.005 * torch.randn(n, 21, 2, generator=generator)
        return Batch(seen, points[index] + noise, truth.take(index))

    return batch


def _conditions(model: DHPE, rows: EvidenceRows) -> Tensor:
    return model.feature_extractor.conditions(_evidence(rows))


def _evidence(rows: EvidenceRows) -> HandEvidence:
    nothing = torch.zeros(len(rows.points))
    return HandEvidence(rows.points, rows.presence, nothing, rows.points_3d, rows.features.float())


@torch.no_grad()
def _about_features(model: DHPE, rows: EvidenceRows) -> str:
    """Says whether E3D uses F, by its error after Procrustes on the rendered hands that it was tuned on."""
    own = _evidence(rows)
    other = own._replace(features=own.features.roll(1, 0))
    hands = (model.eval().estimate_upright(evidence).joints_3d for evidence in (own, other))
    errors = [joint_errors_mm(align(joints, rows.joints_cam, "procrustes"), rows.joints_cam).mean() for joints in hands]
    return verdict_on_features(float(errors[1] - errors[0]), float(errors[0]))


# ---- the loss


def loss_of(model: DHPE, batch: Batch) -> Tensor:
    """Eq. 8 and the reprojection at every iteration, Eq. 6 where Ref is trained, and a weak prior of the shape."""
    states = model.regressor(model.hand, batch.inputs, batch.points)[1:]
    truth = batch.truth
    target = truth.relative / truth.omega[:, None, None]
    each = [
        10 * articulation_loss(s.joints, target, truth.omega)
        + 2 * reprojection_loss(s.joints[..., :2], truth.joints_crop)
        for s in states
    ]
    loss = sum(each) / len(each) + 1e-3 * MeshParameters.split(states[-1].h).shape.square().mean()
    if model.config.pose_refiner:
        loss = loss + refiner_loss([s.evidence_2d for s in states], truth.joints_crop)
    return loss
