"""`handlib evaluate --data KIND:PATH` reports the protocols that the data set's own literature has."""

import pytest
from miniatures import write_freihand, write_ho3d, write_interhand

from handlib.cli.evaluate import evaluate_command
from handlib.evaluation import results
from handlib.evaluation.protocols import OWN_PROTOCOLS, PROTOCOLS


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
