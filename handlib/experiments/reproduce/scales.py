"""How large a reproduction is: `SCALES`, one for each profile, with what differs from that profile's training run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ...training.profiles import PROFILES, TrainConfig
from .rows import RowScale


@dataclass(frozen=True)
class Scale:
    """Every method is trained on the same hands for about as long, tuned alike, and measured on the same test hands.

    Tuning: each method is trained with its learning rates times each of `rate_factors`, on `rate_images` hands for
    `rate_epochs` epochs, and keeps the factor with which it ends best on the validation hands; ablations keep the full
    method's. One factor alone is taken as it is.
    """

    train: TrainConfig  # of the full method; others differ by what they leave out
    # Of the two runs of Fig. 5f (also `handlib ablate`): without lifting, which would bring most hands under T at once.
    schedule: TrainConfig
    # Of trainings whose steps cost less than the full method's: as many epochs as take about as long as its own with
    # lifting. The others have as many as it has.
    epochs: Mapping[str, int] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    test_images: int = 500  # of each test set, at most, evenly spread
    iterations: int = 50  # of Eq. 13
    rate_factors: tuple[float, ...] = (0.3, 1.0, 3.0)
    rate_images: int = 1000
    rate_epochs: int = 3
    rows: RowScale = field(default_factory=RowScale)  # of the study on cached evidence

    def run(self, training: str) -> TrainConfig:
        """The run of a training, before what it leaves out and its learning rate."""
        return replace(self.train, epochs=self.epochs.get(training, self.train.epochs))

    def rate_run(self, training: str) -> TrainConfig:
        """The shorter run on which learning rates are tuned: of fewer hands, and of epochs in the same proportion."""
        run = self.train
        epochs = round(self.rate_epochs * self.epochs.get(training, run.epochs) / run.epochs)
        evidence = min(run.evidence_epochs, max(self.rate_epochs - 1, 0))
        images = min(self.rate_images, run.images)
        return replace(run, images=images, epochs=epochs, evidence_epochs=evidence, augment_from=None)


# J2D starts trained, as the paper's does: every method that has one starts from lite's, since so few hands are no
# training set for heat maps.
_LAPTOP = replace(
    PROFILES["laptop"], init_pose="lite", images=1600, val_images=100, epochs=3, evidence_epochs=0, feature_every=4,
    average=0.99, augment_from=1, augment_every=4, augment_cap=800,
)  # fmt: skip
_GPU = replace(PROFILES["gpu"], images=40_000, feed="memory")
_SMOKE = replace(PROFILES["smoke"], images=16, val_images=8, augment_from=1, augment_cap=8)
SCALES = {
    # Nothing that it measures means anything; for tests.
    "smoke": Scale(
        _SMOKE, replace(_SMOKE, lifting_steps=0, augment_from=None), seeds=(0,), test_images=4, iterations=2,
        rate_factors=(1.0,),
        rows=RowScale(
            seeds=1, rows=24, gate=1.0, draw=16, test=6, val=6, principal=8, lift_steps=10, half_lift_steps=10,
            lifted_steps=10, steps=10, hidden=16, iterations=2, rates=(1e-3,), batch=4,
        ),
    ),
    # For two cores, as two processes of one thread each: at most 90 minutes.
    "laptop": Scale(
        replace(_LAPTOP, images=1200), replace(_LAPTOP, images=800, epochs=6, lifting_steps=0, augment_from=None),
        test_images=120, epochs={"kanazawa": 9, "zimmermann": 5}, rate_images=400,
        rows=RowScale(
            seeds=3, rows=8000, draw=4000, tests=("diverse", "object"), lift_steps=600, lifted_steps=200, steps=300,
            iterations=20, rates=(5e-4,),
        ),
    ),
    # Decides what can be decided on two cores in a night: cached evidence, and more test hands for all.
    "workstation": Scale(
        replace(_LAPTOP, profile="workstation"),
        replace(_LAPTOP, images=800, epochs=6, lifting_steps=0, augment_from=None, profile="workstation"),
        test_images=1000, epochs={"kanazawa": 9, "zimmermann": 5}, rate_images=1600, rate_factors=(0.1, 0.3, 1.0, 3.0),
        rows=RowScale(seeds=10),
    ),
    "gpu": Scale(
        _GPU, replace(_GPU, images=20_000, lifting_steps=0, augment_from=None), rate_images=10_000, rate_epochs=6,
        test_images=2000, rows=RowScale(seeds=10),
    ),
    "paper": Scale(
        PROFILES["paper"], replace(PROFILES["paper"], epochs=20, augment_from=None), test_images=10_000,
        rate_factors=(1.0,),
    ),
}  # fmt: skip
