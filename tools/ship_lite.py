"""Ships a training run as lite: `python tools/ship_lite.py runs/lite lite-training-3 handlib train …`.

Writes handlib/networks/weights/lite.safetensors, and the learning curve of the run as results/NAME.json, one file for
each run that trained lite.
"""

import json
import shlex
import sys
from pathlib import Path

from handlib import DHPE
from handlib.data import SyntheticHands
from handlib.evaluation import results
from handlib.evaluation.results import Metric
from handlib.networks.checkpoint import SHIPPED
from handlib.training.train import read_log

CURVES = ("heatmap", "articulation", "under_threshold", "val_joints_root_mean_mm")  # in every row of the log
CURVES += ("val_joints_root_auc_20_50_mm", "val_joints_procrustes_mean_mm", "val_mean_iou")
CURVES += ("val_feature_ratio", "val_shuffled_features_mm")  # whether F matters


def main(run: Path, name: str, command: str) -> None:
    """Writes weights and results file. name: of the results file. command: the one that made the run."""
    model = DHPE.from_pretrained(run / "model.safetensors")
    path = SHIPPED["lite"]
    model.save(path, model.provenance, half=True)
    print(f"wrote {path}: {path.stat().st_size / 1e6:.1f} MB")

    rows = [row for row in read_log(run) if "val_mean_iou" in row]
    curves = {key: [row[key] for row in rows] for key in CURVES if all(key in row for row in rows)}
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    data = SyntheticHands("val", config["model"]["size"], config["val_images"])
    record = results.record(
        name,
        "how lite learned: its losses, and its validation error after every epoch",
        [Metric("minutes", rows[-1]["minutes"], "minutes", n=1)],
        profile=config["profile"],
        config=config,
        data={"name": data.name, "n": len(data)},
        hand={"name": model.hand.name, "fingertips": model.hand.fingertips.name},
        started=0.0,
        command=command,
        seed=config["seed"],
        curves={"epoch": [row["epoch"] for row in rows], **curves},
    )
    print("wrote", results.write(record | {"minutes": rows[-1]["minutes"]}, Path(__file__).parents[1] / "results"))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(f"{__doc__}\nusage: python tools/ship_lite.py RUN NAME COMMAND THAT MADE IT")
    main(Path(sys.argv[1]), sys.argv[2], shlex.join(sys.argv[3:]))
