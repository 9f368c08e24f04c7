import torch

from handlib.data import collate

SIZE = 48


def test_collate_stacks(samples):
    batch = collate(samples[:3])
    assert batch["image"].shape == (3, 3, SIZE, SIZE) and batch["visible"].dtype == torch.bool
    for key, value in batch.items():
        for n in range(3):
            assert torch.equal(value[n], getattr(samples[n], key))


def test_collate_leaves_out_what_a_sample_lacks(samples):
    from dataclasses import replace

    assert "vertices_cam" not in collate([samples[0], replace(samples[1], vertices_cam=None)])
