import pytest
import torch

from handlib.support.digests import digest_of, load_state, load_tensors, save_state, save_tensors


def test_a_digest_depends_on_everything_but_the_order_of_keys():
    content = {"a": torch.arange(4.0), "b": [1, 2.5, "x", None], "c": torch.tensor(True)}
    first = digest_of(content)
    assert digest_of(dict(reversed(content.items()))) == first
    others = [
        content | {"a": torch.arange(4.0).view(2, 2)},
        content | {"a": torch.arange(4.0).double()},
        content | {"a": torch.tensor([0.0, 1, 2, 3.0000002])},
        content | {"b": [1, 2.5, "x", 0]},
        content | {"c": torch.tensor(False)},
        content | {"d": {}},
    ]
    assert len({first, *map(digest_of, others)}) == len(others) + 1


STATE = {"weights": dict, "step": int}


def test_tensors_and_states_come_back(tmp_path):
    tensors = {"a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor([True])}
    save_tensors(tmp_path / "a.safetensors", tensors)
    loaded = load_tensors(tmp_path / "a.safetensors", "delete it")
    assert loaded.keys() == tensors.keys() and all(torch.equal(loaded[key], tensors[key]) for key in tensors)
    save_state(tmp_path / "state.pt", {"weights": tensors, "step": 3})
    state = load_state(tmp_path / "state.pt", STATE, "delete it")
    assert state["step"] == 3 and torch.equal(state["weights"]["a"], tensors["a"])


@pytest.mark.parametrize("name", ["a.safetensors", "state.pt"])
def test_a_flipped_bit_is_noticed_or_changes_nothing(tmp_path, name):
    path, tensors = tmp_path / name, {"a": torch.randn(64)}

    def load():
        if path.suffix == ".pt":
            return load_state(path, STATE, "delete it")["weights"]
        return load_tensors(path, "delete it")

    (save_state if path.suffix == ".pt" else save_tensors)(
        path, {"weights": tensors, "step": 1} if path.suffix == ".pt" else tensors
    )
    content, noticed = path.read_bytes(), 0
    for at in range(0, len(content), 7):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            assert torch.equal(load()["a"], tensors["a"])  # in padding
        except ValueError as error:
            assert f"{name}: " in str(error) and str(error).endswith("delete it")
            noticed += 1
    assert noticed > 30


def test_a_state_that_lacks_a_field(tmp_path):
    save_state(tmp_path / "state.pt", {"step": 1})
    with pytest.raises(ValueError, match="state.pt: not the state of a run; delete it"):
        load_state(tmp_path / "state.pt", STATE, "delete it")
