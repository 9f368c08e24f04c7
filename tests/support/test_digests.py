import torch

from handlib.support.digests import digest_of


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
