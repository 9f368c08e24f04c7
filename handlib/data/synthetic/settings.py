"""What each split of the benchmark is: who is in it, how the hand is seen, and what is around it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One split. Probabilities are per picture."""

    photographs: str  # split of the built-in backgrounds
    length: int  # samples, if nobody says otherwise
    subjects: int  # different people: a hand's shape and skin
    motion: str = "free"  # "free": any pose from any side; "gestures", "handling": smooth sequences (motion.py)
    side: str = "right"  # of the hand in the original picture, of which a left hand's sample is the mirror image
    jitter: bool = False  # crops as a detector makes them
    stereo: bool = False  # samples 2k and 2k + 1 are one moment seen by two cameras
    held: float = 0.2  # an object in the grip
    occluder: float = 0.12  # something between camera and hand
    sleeve: float = 0.5
    second_hand: float = 0.2
    arms: float = 0.25  # skin-colored distractors: another's arm, round things
    blobs: float = 0.25


SETTINGS = {
    # All viewpoints, poses, shapes and tones, like RHD; the hard one.
    "train": Setting("train", 20000, subjects=2000, jitter=True),
    "val": Setting("val", 500, subjects=60),
    "diverse": Setting("test", 500, subjects=120),
    # One person's gestures before a stereo camera, like SHD (STB).
    "studio": Setting(
        "test", 600, subjects=1, motion="gestures", stereo=True,
        held=0, occluder=0, second_hand=0, arms=0, blobs=0,
    ),
    # One person's left hand that handles things, like Dexter+Object; only fingertips count.
    "object": Setting(
        "test", 600, subjects=1, motion="handling", side="left", held=1, occluder=0.15, second_hand=0, arms=0.1,
    ),
}  # fmt: skip
