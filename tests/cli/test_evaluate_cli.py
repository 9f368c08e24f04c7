"""`handlib evaluate`: its record, and the protocols that a data set's own literature has."""

import json

import numpy as np
import pytest
import torch
from miniatures import OPENGL, write_freihand, write_ho3d, write_interhand, write_photos

from handlib import HandModel
from handlib.cli.evaluate import evaluate_command
from handlib.data import SyntheticHands
from handlib.data.synthetic import digest
from handlib.evaluation import results
from handlib.evaluation.audit import verify
from handlib.evaluation.protocols import OWN_PROTOCOLS, PROTOCOLS
from handlib.evaluation.submissions import SERVERS
from handlib.hand.joints import C21, MANO21, convert


def measured(trained, spec, folder) -> dict:
    evaluate_command(str(trained.checkpoint), data=spec, name="run", results_dir=folder)
    return results.read(folder / "run.json")


def names(record) -> set[str]:
    return {metric["name"] for metric in record["metrics"]}


MESH = {f"freihand_vertices_{what}" for what in ("mean_mm", "median_mm", "auc_0_50_mm")} | {
    f"freihand_vertices_{kind}f_{n}_mm" for kind in ("", "raw_") for n in (5, 15)
}


def test_freihand_with_its_vertices(trained, hand, tmp_path):
    write_freihand(tmp_path / "data", hand, 2, versions=1)
    record = measured(trained, f"freihand:{tmp_path / 'data'}", tmp_path)
    assert names(record) >= MESH | {"freihand_mean_mm", "freihand_auc_0_50_mm"} and record["data"]["n"] == 2
    for kind in ("joints", "vertices"):
        own = "freihand_mean_mm" if kind == "joints" else "freihand_vertices_mean_mm"
        assert results.value(record, own) <= results.value(record, f"{kind}_procrustes_mean_mm") + 1e-3
    (tmp_path / "data" / "evaluation_verts.json").unlink()
    without = measured(trained, f"freihand:{tmp_path / 'data'}", tmp_path / "without")
    assert "freihand_mean_mm" in names(without) and not names(without) & MESH


def test_vertices_may_be_left_out(trained, hand, tmp_path):
    write_freihand(tmp_path / "data", hand, 2, versions=1)
    assert not names(measured(trained, f"freihand,vertices=no:{tmp_path / 'data'}", tmp_path)) & MESH


def test_truth_that_nobody_has_is_an_error(trained, hand, tmp_path):
    write_freihand(tmp_path / "data", hand, 2, versions=1, evaluation_xyz=False)
    with pytest.raises(ValueError, match="there is nothing to measure"):
        measured(trained, f"freihand:{tmp_path / 'data'}", tmp_path)


def test_every_own_protocol_is_one():
    assert {name for own in OWN_PROTOCOLS.values() for name in own} <= set(PROTOCOLS)


def test_ho3d(trained, hand, tmp_path):
    write_ho3d(tmp_path / "data", hand)
    found = names(measured(trained, f"ho3d:{tmp_path / 'data'}", tmp_path))
    assert found >= MESH | {f"{name}_{what}" for name in OWN_PROTOCOLS["ho3d"] for what in ("mean_mm", "auc_0_50_mm")}
    with pytest.raises(ValueError, match="there is nothing to measure"):  # the evaluation as it is downloaded
        for what in ("xyz", "verts"):
            (tmp_path / "data" / f"evaluation_{what}.json").unlink()
        measured(trained, f"ho3d:{tmp_path / 'data'}", tmp_path)


def test_interhand(trained, hand, tmp_path):
    write_interhand(tmp_path / "data", hand, splits=("test",))
    record = measured(trained, f"interhand:{tmp_path / 'data'}", tmp_path)
    assert names(record) >= {"wrist_mean_mm", "wrist_auc_0_50_mm"} and record["data"]["n"] == 8
    assert not names(record) & MESH


def submitted(trained, spec, folder, **options):
    path = folder / "pred.json"
    evaluate_command(str(trained.checkpoint), data=spec, submission=path, results_dir=folder / "results", **options)
    return [np.array(part) for part in json.loads(path.read_text())]


@pytest.mark.parametrize("kind, write", [("freihand", write_freihand), ("ho3d", write_ho3d)])
def test_a_submission_uses_no_label(trained, hand, tmp_path, monkeypatch, kind, write):
    for name, server in SERVERS.items():
        monkeypatch.setitem(SERVERS, name, server._replace(hands=3))
    data = tmp_path / "data"
    write(data, hand)
    spec = f"{kind}:{data}"
    joints, vertices = submitted(trained, spec, tmp_path)
    assert joints.shape == (3, 21, 3) and vertices.shape == (3, 778, 3)
    order, sign = (C21, 1) if kind == "freihand" else (MANO21, OPENGL)
    own = HandModel.load("openhand", "freihand" if kind == "freihand" else "manopth")
    found = own.regress_joints(torch.from_numpy(vertices * sign).float())
    np.testing.assert_allclose(joints, convert(found, C21, order).numpy() * sign, atol=1e-5)
    assert ((vertices * sign)[..., 2] > 0).all() and not (tmp_path / "results").exists()
    for what in ("xyz", "verts"):
        (data / f"evaluation_{what}.json").unlink()
    np.testing.assert_array_equal(submitted(trained, spec, tmp_path)[1], vertices)
    assert (submitted(trained, spec, tmp_path, refine=2)[1] != vertices).any()


def test_what_has_no_server(trained, hand, tmp_path):
    write_freihand(tmp_path / "data", hand, 2, versions=1)
    write_photos(tmp_path / "photos", hand)
    wrong = {
        "the test split has 2 hands, but the server takes all 3960": {"spec": f"freihand:{tmp_path / 'data'}"},
        "has no evaluation server; FreiHAND": {"spec": f"photos:{tmp_path / 'photos'}"},
        "give --data freihand:PATH or ho3d:PATH, no --n": {"spec": f"freihand:{tmp_path / 'data'}", "n": 1},
        "give --data": {"spec": None},
    }
    for message, options in wrong.items():
        with pytest.raises(ValueError, match=message):
            submitted(trained, folder=tmp_path, **options)


def test_evaluate_writes_a_valid_record(run, trained, tmp_path):
    options = ("--split", "val", "--n", 4, "--refine", 1, "--results-dir", tmp_path)
    status, out, _ = run("evaluate", "--checkpoint", trained.checkpoint, *options)
    assert status == 0
    (path,) = tmp_path.iterdir()
    assert path.name == "run-val-refined1-n4.json" and str(path) in out  # named after the run's folder
    record = results.read(path)
    assert record["profile"] == "smoke" and record["synthetic"] is True
    assert record["data"]["n"] == 4 and "val" in record["data"]["name"]
    assert record["config"]["model"]["size"] == 64 and record["config"]["train"]["epochs"] == 2
    assert record["hand"] == {"name": "openhand", "fingertips": "smplx"}
    assert record["data"]["digest"] == digest(SyntheticHands("val", 64, 4))
    assert all(metric["n"] == 4 for metric in record["metrics"])
    error = results.value(record, "joints_root_mean_mm")
    assert 5 < error < 300 and f"{error:.3f}" in out
    assert len(record["curves"]["pck_root"]["pck"]) == len(record["curves"]["joint"]["n"]) + 30 == 51
    assert sum(record["curves"]["tone"]["n"]) == 4
    refined = record["curves"]["refinement"]
    assert refined["iteration"] == [0, 1] and refined["joints_root_mean_mm"][1] == pytest.approx(error, abs=1e-3)
    assert results.value(record, "refinement_objective_end") <= results.value(record, "refinement_objective_start")
    assert not [f for f in verify(tmp_path) if f.level == "error" and "smoke run" not in f.text]


def test_a_model_that_ships_names_its_results(run, trained, monkeypatch, tmp_path):
    monkeypatch.setattr("handlib.cli.evaluate.DHPE.from_pretrained", lambda name: trained.model)
    assert run("evaluate", "--checkpoint", "photo", "--split", "val", "--n", 2, "--results-dir", tmp_path)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["photo-val-n2.json"]


def test_evaluate_counts_the_tips_of_handled_things(run, trained, tmp_path):
    options = ("--split", "object", "--n", 2, "--results-dir", tmp_path)
    assert run("evaluate", "--checkpoint", trained.checkpoint, *options)[0] == 0
    record = results.read(tmp_path / "run-object-n2.json")
    assert record["config"]["scored"] == [4, 8, 12, 16, 20]
    joints = record["curves"]["joint"]
    assert [n for n, name in zip(joints["n"], joints["joint"], strict=True) if not name.endswith("4")] == [0] * 16
    assert "refinement" not in record["curves"]


def test_evaluate_real_hands(run, trained, hand, tmp_path):
    photos = tmp_path / "secret" / "album"
    photos.mkdir(parents=True)
    write_photos(photos, hand)
    options = ("--data", f"photos:{photos}", "--n", 3, "--refine", 1, "--results-dir", tmp_path)
    status, _, err = run("evaluate", "--checkpoint", trained.checkpoint, *options)
    assert status == 0, err
    record = results.read(tmp_path / "run-photos-refined1-n3.json")
    assert record["synthetic"] is False and "secret" not in json.dumps(record) and "photos:album" in record["command"]
    assert record["data"]["n"] == 3 and "PhotoFolder album" in record["data"]["name"] and "digest" not in record["data"]
    names = {metric["name"] for metric in record["metrics"]}
    assert "joints_root_mean_mm" in names and "mean_iou" not in names and "tone" not in record["curves"]
    assert results.value(record, "joints_procrustes_mean_mm") > 0


def test_what_cannot_be_evaluated(refused, trained):
    checkpoint = ("--checkpoint", trained.checkpoint)
    assert "'rhd' names no data set: write KIND:PATH" in refused("evaluate", *checkpoint, "--data", "rhd")
    assert "no folder at nowhere" in refused("evaluate", *checkpoint, "--data", "rhd:nowhere")
    assert "--n must be at least 1, not 0" in refused("evaluate", "--n", 0)
    assert "--refine must be at least 0, not -1" in refused("evaluate", "--refine", -1)
