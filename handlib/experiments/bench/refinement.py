"""`handlib bench refinement`: what `refine` and `fit` cost, a hand.

`refine` of lite on rendered hands of the validation split: as shipped; with the feature term, which needs the renderer
and F in each step; and the paper's fifty gradient steps with that term, on handlib's compiled loops and on plain torch.
`fit` of the same hands' true 2D joints, K given: alone, with their 3D joints, and with their masks. One thread; on the
CPU its time counts, not the clock's. The fastest round; ratios are the median over the rounds.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...data import SyntheticHands
from ...dhpe import DHPE
from ...evaluation.results import Metric, device_name
from ...fitting import fit
from ...hand import HandModel
from ...refinement import ITERATIONS, RefinementWeights, refine
from ...renderer import Renderer
from .timing import Measured, benchmark, in_turns, speedup

FEATURES = replace(RefinementWeights(), feature=0.1)
RATIOS = (("refine", "gradient"), ("refine", "refine_features"), ("gradient", "gradient_plain"))


@dataclass(frozen=True)
class RefinementBench:
    """Settings of the benchmark."""

    batches: tuple[int, ...] = (1, 8)  # Numbers of hands at once on the CPU.
    batches_cuda: tuple[int, ...] = (1, 8, 256)  # On a GPU, where a step costs its launches until there are many.
    checkpoint: str = "lite"  # The model.
    gradient_iterations: int = ITERATIONS["gradient"]  # Steps of the paper's descent.
    seconds: float = 10.0  # How long each batch is timed; three rounds at least.


REFINEMENT_BENCHES = {"smoke": RefinementBench((1, 2), gradient_iterations=2, seconds=0.0), "laptop": RefinementBench()}


def cases(config: RefinementBench, batch: dict[str, Tensor], device: str = "cpu") -> dict[str, Callable[[], object]]:
    """What is timed on a batch, by name."""
    model, plain = (DHPE.from_pretrained(config.checkpoint).to(device) for _ in range(2))
    plain.hand = HandModel.load(model.config.hand, model.config.fingertips, backend="reference").to(device)
    plain.renderer = Renderer(model.config.size, "reference", model.config.gradient)
    images, joints, K, hand = batch["image"], batch["joints_px"], batch["K"], model.hand
    with torch.no_grad():
        first = model(images)

    def descent(model: DHPE) -> Callable[[], object]:
        return lambda: refine(model, images, first, config.gradient_iterations, FEATURES, "gradient")

    return {
        "refine": lambda: refine(model, images, first),
        "refine_features": lambda: refine(model, images, first, weights=FEATURES),
        "gradient": descent(model),
        "gradient_plain": descent(plain),
        "fit": lambda: fit(joints, K, hand=hand, progress=False),
        "fit_joints_3d": lambda: fit(joints, K, hand=hand, progress=False, joints_3d=batch["joints_cam"]),
        "fit_mask": lambda: fit(joints, K, batch["mask"], hand, progress=False),
    }


@benchmark("refinement")
def bench_refinement(config: RefinementBench, device: str) -> Measured:
    """Times refine as shipped, with features and by the paper's gradient steps; and fit."""
    metrics, batches = [], config.batches if device == "cpu" else config.batches_cuda
    data = SyntheticHands("val", DHPE.from_pretrained(config.checkpoint).config.size, max(batches))
    print(f"{device_name(device)}; ms a hand: the fastest round")
    for n in batches:
        batch = {name: value.to(device) for name, value in data.batch(torch.arange(n)).items()}
        times = in_turns(cases(config, batch, device), config.seconds, device, least=3, warm=1)
        for name, rounds in times.items():
            metrics.append(Metric(f"{name}_b{n}_ms_per_hand", min(rounds) / n, "ms", n=len(rounds)))
            print(f"{name:16} batch {n:3} {metrics[-1].value:9.1f}")
        for ours, other in RATIOS:
            low, median, high = speedup(times, ours, other)
            metrics.append(Metric(f"{ours}_over_{other}_b{n}", median, "ratio", n=len(times[ours])))
            print(f"{ours} over {other}, batch {n}: {median:.1f}× ({low:.1f}–{high:.1f})")
    claim, hands = "how long test-time refinement and a fit take, a hand", {"name": data.name, "n": len(data)}
    return Measured(claim, metrics, hands, {"iterations": ITERATIONS["gauss-newton"]})
