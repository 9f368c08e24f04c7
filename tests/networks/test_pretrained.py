"""Readers of the published weights, on files of the same structure written here."""

import os
import pickle
import urllib.error
import warnings

import numpy as np
import pytest
import torch
from mano_files import Call, Name, Python2Pickle
from miniatures import posenet_arrays

from handlib.hand.joints import C21, RHD21
from handlib.networks import pretrained
from handlib.networks.pose_machine import PoseMachine, layers
from handlib.networks.pretrained import load_imagenet, read_posenet
from handlib.networks.resnet import ResNet50


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return posenet_arrays()


@pytest.fixture(scope="module")
def posenet(arrays, tmp_path_factory):
    """The file as Python 3 writes it, with 70 MB; its path."""
    path = tmp_path_factory.mktemp("posenet") / "posenet3d-rhd-stb-slr-finetuned.pickle"
    path.write_bytes(pickle.dumps(arrays, 2))
    return path


@pytest.fixture
def written(tmp_path):
    def write(content, protocol=2):
        path = tmp_path / "posenet3d-rhd-stb-slr-finetuned.pickle"
        path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
        return path

    return write


def error_of(path) -> str:
    with pytest.raises(ValueError) as caught:
        read_posenet(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_read_from_python_3(written, posenet, arrays, protocol):
    state = read_posenet(posenet if protocol == 2 else written(arrays, protocol))
    assert state.keys() == PoseMachine().state_dict().keys()
    for number, weight in (("conv1_1", (64, 3, 3, 3)), ("conv6_1", (128, 149, 7, 7)), ("conv7_7", (21, 128, 1, 1))):
        assert state[f"layers.{number}.weight"].shape == weight
    kernel = arrays["PoseNet2D/conv2_1/weights"]
    for row, column, i, o in ((0, 0, 0, 0), (2, 1, 63, 127), (0, 2, 5, 9)):
        assert state["layers.conv2_1.weight"][o, i, row, column] == kernel[row, column, i, o]


def test_read_from_python_2(written, posenet, arrays):
    ours, theirs = read_posenet(posenet), read_posenet(written(Python2Pickle(2).file(arrays)))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_joints_come_in_our_order(posenet, arrays):
    """Twins that differ by the order of the joints alone: the same maps, in RHD's order and in C21's."""
    ours, theirs = PoseMachine(), PoseMachine()
    ours.load_state_dict(read_posenet(posenet))
    plain = {}
    for layer in layers():
        weight = torch.from_numpy(arrays[f"PoseNet2D/{layer}/weights"]).permute(3, 2, 0, 1)
        plain |= {f"layers.{layer}.weight": weight}
        plain |= {f"layers.{layer}.bias": torch.from_numpy(arrays[f"PoseNet2D/{layer}/biases"])}
    theirs.load_state_dict(plain)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for a, b in zip(ours.stages(image), theirs.stages(image), strict=True):
            for joint in C21.joints:
                torch.testing.assert_close(
                    a[0, C21.index(joint)], b[0, RHD21.index(joint)], rtol=1e-4, atol=1e-5 * b.abs().max().item()
                )
            assert not torch.allclose(a[0, 1], b[0, 1])


def test_every_missing_and_every_wrong_array_is_named(written, arrays):
    broken = dict(arrays)
    del broken["PoseNet2D/conv1_1/weights"], broken["PoseNet2D/conv7_7/biases"]
    broken["PoseNet2D/conv6_1/weights"] = np.zeros((7, 7, 128, 149), np.float32)
    broken["PoseNet2D/conv5_2/biases"] = np.full(21, np.nan, np.float32)
    broken["PoseNet2D/conv5_1/biases"] = np.zeros(512, np.int64)
    message = error_of(written(broken))
    assert "'PoseNet2D/conv1_1/weights' is missing" in message and "'PoseNet2D/conv7_7/biases' is missing" in message
    assert "'PoseNet2D/conv6_1/weights' has shape (7, 7, 128, 149), expected (7, 7, 149, 128)" in message
    assert "'PoseNet2D/conv5_2/biases' must hold finite numbers" in message
    assert "'PoseNet2D/conv5_1/biases' must hold finite numbers" in message
    assert message.count("PoseNet2D/") == 5 and "posenet3d-rhd-stb-slr-finetuned.pickle of https://github" in message


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at .*absent.pickle: follow the link to the weights"):
        read_posenet(tmp_path / "absent.pickle")


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_pickle_is_refused(written, arrays, tmp_path, protocol):
    small = {"PoseNet2D/conv1_1/weights": Hostile(tmp_path / "trap")}
    message = error_of(written(small, protocol))
    assert "refused: " in message and "mkdir; this is not a file of ColorHandPose3D's weights" in message
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("codec", ["rot13", "zip", "latin2"])
def test_no_codec_but_latin1_is_followed(written, codec):
    state = (1, (1,), np.dtype("f4"), False, Call(Name("_codecs", "encode"), ("\x00\x00\x00\x00", codec)))
    reconstruct, array = Name("numpy.core.multiarray", "_reconstruct"), Name("numpy", "ndarray")
    content = {"PoseNet2D/conv1_1/biases": Call(reconstruct, (array, (0,), b"b"), state)}
    assert "'PoseNet2D/conv1_1/biases' declares the shape" in error_of(written(Python2Pickle(2).file(content)))


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "not a readable pickle"),
        (b"<!DOCTYPE html><title>404</title>", "a web page, not a file of ColorHandPose3D's weights: follow the link"),
        (b"PK\x03\x04", "a zip archive, not a pickle: unpack it, posenet3d-rhd-stb-slr-finetuned.pickle is inside"),
        (pickle.dumps([1, 2]), "not a dict of fields"),
        (pickle.dumps({"PoseNet2D/conv1_1/biases": "text"}), "must be an array of numbers"),
        (pickle.dumps({"PoseNet2D/conv1_1/biases": np.array([object])}), "refused"),
        (pickle.dumps({})[:-1], "not a readable pickle"),
    ],
    ids=["empty", "web page", "zip", "list", "text", "objects", "cut short"],
)
def test_what_is_no_file_of_weights(written, content, reason):
    assert reason in error_of(written(content))


def test_far_too_large_a_file_is_not_read(written, monkeypatch):
    monkeypatch.setattr(pretrained, "MAX_BYTES", 100)
    assert "it was not read" in error_of(written(b"\x80" * 101))


# ---- ImageNet's weights for F


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Stands for the network: the given file lies at the public address, or the address cannot be reached."""

    def serve(answer):
        def load(url, **options):
            assert url == "https://download.pytorch.org/models/resnet50-0676ba61.pth"
            assert options["check_hash"] and options["weights_only"]
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", load)

    return serve


def imagenet() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return ResNet50().state_dict() | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


@pytest.mark.parametrize("counters", [True, False], ids=["with counters", "without"])
def test_imagenet_weights_are_taken_but_for_the_classifier(published, counters):
    """Files older than the counters of batch normalization lack them."""
    weights = {k: v for k, v in imagenet().items() if counters or "num_batches" not in k}
    published(weights)
    network = ResNet50()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_imagenet(network)
    state = network.state_dict()
    assert all(torch.equal(state[name], value) for name, value in weights.items() if not name.startswith("fc."))


def test_without_a_network_it_warns_once_and_starts_at_random(published):
    published(urllib.error.URLError("no route to host"))
    network = ResNet50()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.warns(
        UserWarning, match="F starts from random weights: .*no route to host.*pretrained=False"
    ) as caught:
        assert not load_imagenet(network)
    assert len(caught) == 1
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_download_with_the_wrong_hash(published):
    published(RuntimeError('invalid hash value (expected "0676ba61", got "00000000")'))
    with pytest.raises(ValueError, match="resnet50-0676ba61.pth: not the published file .invalid hash value"):
        load_imagenet(ResNet50())


def test_a_file_in_the_cache_with_the_wrong_hash(published, tmp_path):
    published(imagenet())
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resnet50-0676ba61.pth").write_bytes(b"another file")
    with pytest.raises(ValueError, match="not the published file .its SHA-256 is"):
        load_imagenet(ResNet50())


def test_weights_of_another_network(published):
    published({"conv1.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(ValueError, match="not ResNet-50's weights; delete it"):
        load_imagenet(ResNet50())
