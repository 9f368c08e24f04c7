"""The study on cached evidence: E3D, Ref, the losses and Eq. 12 and 13, with F and J2D frozen (evidence.py).

A variant is a switch of the method. All of one seed learn from the same hands, drawn anew with replacement from the
training rows for each seed, in the same order, for as many steps. Those that are lifted share one start, for all seeds:
one for each shape of the regressor, three iterations with Ref, or what a variant has. So what an interval says is
given these starts.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...data import SyntheticHands
from ...dhpe import DHPE, DHPEConfig
from ...evaluation.evaluate import ALL, compared_output
from ...losses import LossWeights
from ...output import DHPEOutput, assemble
from ...refinement import RefinementWeights, refine
from ...support.digests import load_tensors, save_tensors
from ...training.loss import dhpe_loss
from ...training.photo_model import PhotoTraining, lift_batches, loss_of
from ...training.regressor import MEND, ignore_features, train_regressor
from .evidence import SIDE, Rows, raw_training_rows
from .sets import DESCENT, SPLITS

# Eq. 2 and 3 train F and J2D, which are frozen here. L_Lap costs more than all the rest, and no claim is about it.
WEIGHTS = LossWeights(feature=0.0, feature_joints=0.0, heatmap=0.0, earlier_heatmaps=0.0, laplacian=0.0)
REFINEMENT = RefinementWeights(feature=0.0, confidence=0.0, laplacian=0.0)  # the feature term needs pictures
LOG_EVERY = 50  # steps
PART = 250  # hands at once


@dataclass(frozen=True)
class RowScale:
    """How large the study is. seeds: 0 leaves it out."""

    seeds: int = 0
    rows: int = 16_000  # training hands that are rendered
    gate: float = 0.08  # of their mean 2D error over the hand's side: what is worse cannot be seen
    draw: int = 8000  # of them, with replacement, for each seed
    tests: tuple[str, ...] = SPLITS
    test: int = 2000  # hands of each test split
    val: int = 500  # of the validation split, by which rates are chosen
    lift_steps: int = 1500  # of 128 skeletons
    half_lift_steps: int = 60  # for Fig. 5f: about half of the hands are under T then
    lifted_steps: int = 300  # of 64 rows, from a lifted start
    steps: int = 600  # … from random weights, or half lifted
    principal: int = 128  # directions of F
    hidden: int = 384
    iterations: int = 50  # of Eq. 13
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3, 3e-3)  # tried, by full-length runs of seed 0; one is taken as it is
    batch: int = 64


class Variant(NamedTuple):
    """lift: the start: "" random weights, "full", or the shape of the regressor. rated_as: the variant whose learning
    rate it takes."""

    lift: str = "full"
    rated_as: str = "rows-full"
    features: str = "own"  # or "none", or those of "other" hands, in training and in testing
    joints: bool = True  # whether E3D sees j2D
    pose_refiner: bool = True
    iterations: int = 3
    weights: LossWeights = WEIGHTS

    @property
    def start(self) -> str:
        return f"lifted-{self.lift}" if self.lift else ""

    def model(self, scale: RowScale) -> DHPE:
        """With a regressor of random weights; its F and J2D are never asked."""
        return DHPE(DHPEConfig(
            size=SIDE, features=scale.principal, hidden=scale.hidden, iterations=self.iterations, feature_width=1,
            pose_width=1, pose_refiner=self.pose_refiner, evidence_2d=self.joints,
        ))  # fmt: skip


_SCRATCH = {"lift": "", "rated_as": "rows-both", "pose_refiner": False}
_HALF = {"lift": "half", "rated_as": "rows-both"}
VARIANTS = {
    "rows-full": Variant(),
    "rows-no_refiner": Variant("no_refiner", pose_refiner=False),
    "rows-one_iteration": Variant("one_iteration", iterations=1),
    "rows-no_shape_loss": Variant(weights=replace(WEIGHTS, shape=0.0)),
    "rows-no_features": Variant(features="none"),
    "rows-shuffled_features": Variant(features="other"),
    "rows-both": Variant(**_SCRATCH),
    "rows-features": Variant(**_SCRATCH, joints=False),
    "rows-scheduled": Variant(**_HALF),
    "rows-constant": Variant(**_HALF, weights=replace(WEIGHTS, scheduled=False)),
}
_LIFTED_AS = {"full": "rows-full", "half": "rows-full"}  # the others are of the variant of their name


def lift(start: str, scale: RowScale, folder: Path, path: Path, progress: bool = True) -> None:
    """Writes the regressor of a start (`Variant.start`), which has seen skeletons alone. folder: of the rows."""
    shape = start.removeprefix("lifted-")
    variant = VARIANTS[_LIFTED_AS.get(shape, f"rows-{shape}")]
    steps = scale.half_lift_steps if shape == "half" else scale.lift_steps
    torch.manual_seed(0)
    model = variant.model(scale)
    ignore_features(model.regressor, scale.principal)
    config = PhotoTraining(principal=scale.principal)
    batches = lift_batches(model, raw_training_rows(folder, scale.rows, progress), config)

    def loss(step: int) -> Tensor:
        batch = batches(step)
        return loss_of(model, batch._replace(inputs=batch.inputs[:, : scale.principal]))

    _descend(model, loss, steps, config.lift_rate)
    save_tensors(path, model.regressor.state_dict())


def fit(variant: Variant, scale: RowScale, rows: Rows, start: Path | None, rate: float, seed: int) -> tuple[DHPE, dict]:
    """A trained model, and the curve of its training. start: file of the lifted regressor, or None."""
    torch.manual_seed(seed)
    model = variant.model(scale)
    if start:
        model.regressor.load_state_dict(load_tensors(start, MEND))
    generator = torch.Generator().manual_seed(seed)
    rows = seen_by(variant, rows.take(torch.randint(len(rows.points), (scale.draw,), generator=generator)), seed)
    steps = scale.lifted_steps if variant.lift not in ("", "half") else scale.steps
    curve: dict[str, list] = {"step": [], "loss": [], "under_threshold": []}
    some: list[dict[str, Tensor]] = []

    def loss(step: int) -> Tensor:
        picked = rows.take(torch.randint(len(rows.points), (scale.batch,), generator=generator))
        output, batch = estimate(model, picked), picked.batch()
        total, parts = dhpe_loss(model, output, _pictures(scale.batch), batch, variant.weights)
        some.append({name: parts[name] for name in ("loss", "under_threshold")})
        if len(some) == LOG_EVERY:
            curve["step"].append(step + 1)
            for name in ("loss", "under_threshold"):
                curve[name].append(round(float(torch.stack([one[name] for one in some]).mean()), 5))
            some.clear()
        return total

    _descend(model, loss, steps, rate)
    return model.eval(), curve


def _descend(model: DHPE, loss: Callable[[int], Tensor], steps: int, rate: float) -> None:
    torch.set_flush_denormal(True)  # weights that fade would make a step three times as slow
    train_regressor(model.regressor, loss, steps, rate, 1e-4)


def seen_by(variant: Variant, rows: Rows, seed: int) -> Rows:
    """Rows as a variant sees them: F its own, another hand's, or zero."""
    if variant.features == "none":
        return rows._replace(features=torch.zeros_like(rows.features))
    if variant.features == "other":
        order = torch.randperm(len(rows.features), generator=torch.Generator().manual_seed(seed + 1))
        return rows._replace(features=rows.features[order])
    return rows


def estimate(model: DHPE, rows: Rows) -> DHPEOutput:
    features = rows.features.float()
    points = rows.points if model.regressor.sees_evidence else None
    return assemble(model.hand, model.regressor(model.hand, features, points), SIDE, None, features)


def samples_of(
    model: DHPE, variant: Variant, rows: Rows, test: str, iterations: int = 0, seed: int = 0
) -> dict[str, Any]:
    """What scores are made from (`evaluate.compared`), with `iterations` steps of Eq. 13."""
    scored = SyntheticHands(test, n=1).scored if test in SPLITS else ALL
    rows, parts = seen_by(variant, rows, seed), []
    for index in torch.arange(len(rows.points)).split(PART):
        some = rows.take(index)
        with torch.no_grad():
            output = estimate(model, some)
        if iterations:
            output = refine(model, _pictures(len(index)), output, iterations, REFINEMENT, DESCENT)
        with torch.no_grad():
            parts.append(compared_output(output, some.batch(), None, scored))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _pictures(n: int) -> Tensor:
    """In place of pictures, which nothing looks at: their number and size alone count."""
    return torch.zeros(1).expand(n, 3, SIDE, SIDE)


def described(variant: Variant) -> dict[str, Any]:
    return variant._asdict() | {"weights": asdict(variant.weights)}
