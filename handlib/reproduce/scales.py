"""How large a reproduction is: `SCALES`, one for each profile, with what differs from that profile's training run."""

from dataclasses import dataclass, replace

from ..profiles import PROFILES, TrainConfig


@dataclass(frozen=True)
class Scale:
    """Every method is trained on the same hands for as many epochs, tuned alike, and measured on the same test hands.

    Tuning: each method is trained with its learning rates times each of `rate_factors`, on `rate_images` hands for
    `rate_epochs` epochs, and keeps the factor with which it ends best on the validation hands; ablations keep the full
    method's. One factor alone is taken as it is.
    """

    train: TrainConfig  # of the full method; others differ by what they leave out
    schedule: TrainConfig  # of the two runs of Fig. 5f: without lifting, which would bring most hands under T at once
    seeds: tuple[int, ...] = (0, 1, 2)
    test_images: int = 500  # of each test set, at most, evenly spread
    iterations: int = 50  # of Eq. 13
    rate_factors: tuple[float, ...] = (0.3, 1.0, 3.0)
    rate_images: int = 1000
    rate_epochs: int = 3

    def rate_run(self) -> TrainConfig:
        """The shorter run on which learning rates are tuned."""
        run = self.train
        evidence = min(run.evidence_epochs, max(self.rate_epochs - 1, 0))
        images = min(self.rate_images, run.images)
        return replace(run, images=images, epochs=self.rate_epochs, evidence_epochs=evidence, augment_from=None)


# F and J2D start trained, as the paper's do: all methods that have one of the two start from lite's. From random weights
# so few hands would leave every method near the mean pose, where nothing can be told apart.
_LAPTOP = replace(
    PROFILES["laptop"], init_evidence="lite", images=2400, val_images=120, epochs=4, evidence_epochs=0,
    feature_every=4, average=0.99, augment_from=2, augment_every=4, augment_cap=1200,
)  # fmt: skip
_GPU = replace(PROFILES["gpu"], images=40_000, feed="memory")
_SMOKE = replace(PROFILES["smoke"], images=16, val_images=8, augment_from=1, augment_cap=8)
SCALES = {
    # Nothing that it measures means anything; for tests.
    "smoke": Scale(
        _SMOKE, replace(_SMOKE, lifting_steps=0, augment_from=None), seeds=(0,), test_images=4, iterations=2,
        rate_factors=(1.0,),
    ),
    # For two cores, as two processes (--shard) of one thread each; `--dry-run` measures how long that takes.
    "laptop": Scale(
        _LAPTOP, replace(_LAPTOP, images=1200, epochs=6, lifting_steps=0, augment_from=None), test_images=150,
        rate_images=600,
    ),
    "gpu": Scale(
        _GPU, replace(_GPU, images=20_000, lifting_steps=0, augment_from=None), rate_images=10_000, rate_epochs=6
    ),
    "paper": Scale(
        PROFILES["paper"], replace(PROFILES["paper"], epochs=20, augment_from=None), test_images=10_000,
        rate_factors=(1.0,),
    ),
}  # fmt: skip
