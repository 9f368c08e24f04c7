"""Measures `fit` and `lite` on photographs with known 3D joints, which are yours and never part of this repository.

    python tools/check_photographs.py FOLDER "which photographs, from where"

FOLDER/annotations.json describes them (`handlib.data.PhotoFolder`). `fit` gets the projected true joints and K, and
never the picture; `lite` gets the crop of 1.5 times their box, and never the joints. Writes results/photographs.json.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from handlib import DHPE, fit, refine, results
from handlib.data import HandSample, PhotoFolder
from handlib.joints import MIDDLE_MCP
from handlib.metrics import align, joint_errors_mm


def errors(sample: HandSample, model: DHPE) -> dict[str, float]:
    """Mean joint errors of one photograph in millimetres, by method and alignment."""
    joints, K = sample.joints_cam, sample.K
    fitted = fit(sample.joints_px, K).joints_3d
    found = {"fit_procrustes": joint_errors_mm(align(fitted, joints, "procrustes"), joints).mean()}
    images = sample.image[None]
    with torch.no_grad():
        first = model(images)
    for name, output in (("lite", first), ("lite_refined50", refine(model, images, first))):
        placed = output.in_camera(K[None], joints[None, MIDDLE_MCP, 2]).joints[0]
        for mode in ("root", "procrustes"):
            found[f"{name}_{mode}"] = joint_errors_mm(align(placed, joints, mode), joints).mean()
    return {name: float(error) for name, error in found.items()}


def main(folder: Path, description: str) -> None:
    started = time.perf_counter()
    model = DHPE.from_pretrained("lite")
    photographs = PhotoFolder(folder)
    rows = [errors(photographs[i], model) for i in tqdm(range(len(photographs)), "photographs")]
    metrics = []
    for name in rows[0]:
        values = torch.tensor([row[name] for row in rows])
        for statistic, value in (("mean", values.mean()), ("median", values.median())):
            alignment = name.rsplit("_", 1)[1]
            metrics.append(results.Metric(f"{name}_{statistic}_mm", float(value), "mm", alignment, "none", len(rows)))
            print(f"{metrics[-1].name:36} {metrics[-1].value:6.1f}")
    record = results.record(
        "photographs",
        "fit and lite on photographs of real hands",
        metrics,
        profile="laptop",
        config={"model": asdict(model.config), "train": json.loads(model.provenance["train"])},
        data={"name": description, "n": len(rows)},
        hand={"name": model.hand.name, "fingertips": model.hand.fingertips.name},
        started=started,
        synthetic=False,
        command=f'python tools/check_photographs.py FOLDER "{description}"',
    )
    print("wrote", results.write(record, Path(__file__).resolve().parents[1] / "results"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])
