"""The `paper` profile in miniature, from the data sets' own files to the scores on all three test sets."""

from dataclasses import replace
from functools import partial

import pytest
from miniatures import STB_SEQUENCES, write_do, write_rhd, write_stb

from handlib import augmentation
from handlib.cli.evaluate import evaluate_command
from handlib.evaluation import results
from handlib.evaluation.protocols import OWN_PROTOCOLS
from handlib.training.train import preset, read_log, train


@pytest.fixture(scope="module")
def trees(hand, tmp_path_factory):
    root = tmp_path_factory.mktemp("originals")
    write_rhd(root / "rhd", hand, n=2)
    write_stb(root / "stb", hand, n=1, pictures=STB_SEQUENCES)
    write_do(root / "do", hand)
    return root


BOTH = ("rhd", "stb")
SMALL = {"trunk": "lite", "pretrained": False, "size": 32, "pose_size": 32, "feature_width": 4, "features": 32,
         "pose_width": 4}  # fmt: skip


@pytest.mark.parametrize(("feed", "sets"), [("memory", ("stb",)), ("workers", BOTH), ("memory", BOTH)])
def test_the_paper_profile_runs_to_its_end(trees, tmp_path, monkeypatch, feed, sets):
    """STB alone has no mask at all. An untrained estimate is a seed here, so that every phase is gone through."""
    seeds = partial(augmentation.AugmentationConfig, masked=False, least_shown=0.0)
    monkeypatch.setattr(augmentation, "AugmentationConfig", seeds)
    paper = preset("paper")
    config = replace(
        paper, data=tuple(f"{kind}:{trees / kind}" for kind in sets), val_data=(f"{sets[0]}:{trees / sets[0]}",),
        val_images=2, epochs=3, batch_size=8, augment_from=1, augment_cap=6, workers=0, feed=feed, device="cpu",
        model=replace(paper.model, **SMALL),
    )  # fmt: skip
    assert config.loss == paper.loss and config.model.gradient == "kato"
    model = train(config, tmp_path / "run", progress=False)
    rows = read_log(tmp_path / "run")
    assert [row["pool"] for row in rows] == [0, 6, 6] and not model.training
    for kind in ("rhd", "stb", "do"):
        evaluate_command(str(tmp_path / "run" / "model.safetensors"), data=f"{kind}:{trees / kind}", n=2, name=kind,
                         results_dir=tmp_path)  # fmt: skip
        record = results.read(tmp_path / f"{kind}.json")
        names = {metric["name"] for metric in record["metrics"]}
        assert names >= {f"{name}_mean_mm" for name in OWN_PROTOCOLS[kind]}
        assert record["synthetic"] is False and ("mean_iou" in names) == (kind == "rhd")
