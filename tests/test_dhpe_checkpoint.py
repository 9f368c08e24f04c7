"""Checkpoints of DHPE: written, read back, and refused in one line that names the file."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from handlib import DHPE

NEWER = ("trunk", "pose_size", "pretrained", "posenet", "evidence_2d")  # fields that lite's file does not know


@pytest.fixture
def rewrite(tiny, tmp_path):
    """Writes a checkpoint with its config and weights changed; returns the path."""

    def write(config=None, weights=lambda w: w, metadata=None):
        path = tmp_path / "model.safetensors"
        tiny.save(path)
        metadata = metadata or {"config": json.dumps(asdict(tiny.config) | (config or {}))}
        save_file(weights(load_file(path)), path, metadata)
        return path

    return write


def error_of(path) -> str:
    """The one line that `from_pretrained` ends in; it names the file."""
    with pytest.raises(ValueError) as caught:
        DHPE.from_pretrained(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_checkpoint_round_trip(tiny, images, tmp_path):
    path = tmp_path / "new" / "model.safetensors"
    tiny.save(path, {"train": '{"profile": "smoke"}'})
    read = DHPE.from_pretrained(path)
    assert read.config == tiny.config and not read.training
    assert read.provenance == {"train": '{"profile": "smoke"}'}
    assert torch.equal(read(images).vertices, tiny(images).vertices)
    assert not [key for key in load_file(path) if key.startswith("hand.")]


@pytest.mark.parametrize("field, value", [("subpixel", False), ("pose_refiner", False), ("fingertips", "paper")])
def test_options_survive_the_round_trip(tiny, tmp_path, field, value):
    model = DHPE(replace(tiny.config, **{field: value}))
    model.save(tmp_path / "model.safetensors")
    assert getattr(DHPE.from_pretrained(tmp_path / "model.safetensors").config, field) == value


def test_missing_checkpoint(tmp_path):
    message = "no checkpoint at .*none.safetensors: give 'lite', 'photo', or .*handlib train"
    with pytest.raises(FileNotFoundError, match=message):
        DHPE.from_pretrained(tmp_path / "none.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 200, -100], ids=["empty", "5 bytes", "200 bytes", "cut short"])
def test_truncated_checkpoint(rewrite, keep):
    path = rewrite()
    path.write_bytes(path.read_bytes()[:keep])
    assert "not a safetensors checkpoint" in error_of(path)


def test_text_is_no_checkpoint(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("<html>404 Not Found</html>" * 20)
    assert "not a safetensors checkpoint" in error_of(path)


def test_unknown_config_field(rewrite):
    assert "unknown config field 'augment'; update handlib" in error_of(rewrite({"augment": True}))


@pytest.mark.parametrize("change", [{"features": "many"}, {"size": None}, {"size": -3}, {"iterations": [3]}], ids=str)
def test_config_of_the_wrong_type(rewrite, unchecked, change):
    assert next(iter(change)) in error_of(rewrite(change))


@pytest.mark.parametrize("text", ["[]", "3", "{", '"lite"'])
def test_config_that_is_no_config(rewrite, unchecked, text):
    assert "config" in error_of(rewrite(metadata={"config": text}))


def test_safetensors_of_something_else(rewrite):
    assert "holds no DHPE config" in error_of(rewrite(metadata={"format": "pt"}))


def test_config_that_does_not_fit_the_weights(rewrite):
    assert "regressor" in error_of(rewrite({"hidden": 0}))
    assert "size mismatch" in error_of(rewrite({"features": 17}))


def test_weights_that_are_missing(rewrite):
    message = error_of(rewrite(weights=lambda w: {k: v for k, v in w.items() if k != "regressor.start"}))
    assert "do not fit its config (regressor.start" in message


def test_half_precision_file_is_smaller_and_nearly_the_same(trained, tmp_path, batch):
    trained.model.save(tmp_path / "full.safetensors")
    trained.model.save(tmp_path / "half.safetensors", {"note": "kept"}, half=True)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.8 * (tmp_path / "full.safetensors").stat().st_size
    half = DHPE.from_pretrained(tmp_path / "half.safetensors")
    assert half.provenance == {"note": "kept"}
    with torch.no_grad():
        a, b = trained.model(batch["image"]), half(batch["image"])
    assert (a.joints_3d - b.joints_3d).abs().max() < 1e-3


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"trunk": "large"}, "unknown trunk 'large': choose one of lite, paper, photo"),
        ({"trunk": "paper"}, "2048 features, not 16: set features=2048"),
        ({"trunk": "paper", "features": 2048, "pose_size": 30}, "8 must divide"),
        ({"pretrained": True}, "are for trunk='paper'"),
        ({"posenet": "file.pickle"}, "are for trunk='paper'"),
        ({"evidence_2d": False}, "set pose_refiner=False too"),
    ],
    ids=str,
)
def test_configs_that_cannot_be(tiny, rewrite, change, reason):
    with pytest.raises(ValueError, match=reason):
        replace(tiny.config, **change)
    message = error_of(rewrite(change))  # and in a file from outside
    assert "invalid config" in message


def test_checkpoints_from_before_the_paper_s_trunk_are_lite(rewrite, tiny, images):
    """The config that ships with lite lacks the newer fields; their defaults are what it was made with."""
    old = {k: v for k, v in asdict(tiny.config).items() if k not in NEWER}
    read = DHPE.from_pretrained(rewrite(metadata={"config": json.dumps(old)}))
    assert read.config == tiny.config
    assert torch.equal(read(images).vertices, tiny(images).vertices)


def test_a_checkpoint_notices_damage(tiny, tmp_path):
    model, path = DHPE(tiny.config), tmp_path / "model.safetensors"
    model.save(path, {"train": "{}", "a": "1", "b": "ä", "c": "3"})
    whole = path.read_bytes()
    for _ in range(3):  # the same bytes whatever chance does
        model.save(path, {"train": "{}", "a": "1", "b": "ä", "c": "3"})
        assert path.read_bytes() == whole
    assert DHPE.from_pretrained(path).provenance == {"train": "{}", "a": "1", "b": "ä", "c": "3"}
    for at in (len(whole) - 9, len(whole) // 2):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match="model.safetensors: the file is damaged"):
            DHPE.from_pretrained(path)


@pytest.mark.parametrize("change", [lambda w: w * torch.nan, lambda w: w / 0.0, lambda w: w.long()])
def test_weights_that_cannot_answer(tiny, tmp_path, change):
    path = tmp_path / "model.safetensors"
    DHPE(tiny.config).save(path)
    with safe_open(path, "pt") as file:
        config = file.metadata()["config"]
    weights = load_file(path)
    name = "pose_network.head.1.weight"
    save_file(weights | {name: change(weights[name] + 1.0)}, path, {"config": config})
    with pytest.raises(ValueError, match=f"'{name}' holds NaN, infinity or torch"):
        DHPE.from_pretrained(path)
