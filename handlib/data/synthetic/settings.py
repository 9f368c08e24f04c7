"""The settings of each split of the benchmark: people, viewpoints and surroundings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One split. Probabilities are per image."""

    photographs: str  # split of the built-in backgrounds
    length: int  # default number of samples
    subjects: int  # number of people, each with a shape and a skin
    motion: str = "free"  # "free": any pose from any side; "gestures", "handling": smooth sequences (motion.py)
    side: str = "right"  # of the hand in the original image; samples of left hands are mirrored
    jitter: bool = False  # crops are inaccurate, like those of a detector
    stereo: bool = False  # samples 2k and 2k + 1 show the same moment from two cameras
    held: float = 0.2  # probability of an object in the grip
    occluder: float = 0.12  # of an object between camera and hand
    sleeve: float = 0.5
    second_hand: float = 0.2
    arms: float = 0.25  # of skin-colored distractors: another person's arm
    blobs: float = 0.25  # and round objects


SETTINGS = {
    # All viewpoints, poses, shapes and tones, like RHD; the hardest.
    "train": Setting("train", 20000, subjects=2000, jitter=True),
    "val": Setting("val", 500, subjects=60),
    "diverse": Setting("test", 500, subjects=120),
    # Gestures of one person in front of a stereo camera, like SHD (STB).
    "studio": Setting(
        "test", 600, subjects=1, motion="gestures", stereo=True,
        held=0, occluder=0, second_hand=0, arms=0, blobs=0,
    ),
    # The left hand of one person with objects, like Dexter+Object; only fingertips count.
    "object": Setting(
        "test", 600, subjects=1, motion="handling", side="left", held=1, occluder=0.15, second_hand=0, arms=0.1,
    ),
}  # fmt: skip
