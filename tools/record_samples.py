"""Records the first samples of every split, for the test that they are the same on every machine.

python tools/record_samples.py        after a change of `handlib.data.synthetic.VERSION`
"""

from pathlib import Path

import numpy as np
import torch

from handlib.data import SyntheticHands
from handlib.data.synthetic import VERSION
from handlib.data.synthetic.settings import SETTINGS


def main() -> None:
    arrays = {"version": np.array(VERSION)}
    for split in SETTINGS:
        batch = SyntheticHands(split, 64).batch(torch.arange(3))
        arrays[split] = (batch["image"] * 255).round().byte().numpy()
        arrays[f"{split}_joints"] = batch["joints_cam"].numpy()
    np.savez_compressed(Path(__file__).parents[1] / "tests" / "data" / "synthetic" / "synthetic_samples.npz", **arrays)


if __name__ == "__main__":
    main()
