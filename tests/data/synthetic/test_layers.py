import pytest
import torch

from handlib.data import SyntheticHands
from handlib.data.sample import OTHER
from handlib.data.synthetic.layers import resolve, resolve_reference
from handlib.renderer.rasterize import rasterize
from handlib.support import jit


def scene(generator, faces=40, size=24):
    """Triangles in front of one another, some of them parts of a hand."""
    corners = torch.rand(2, 3 * faces, 3, generator=generator) * torch.tensor([2.0 * size, 2.0 * size, 1.0])
    corners[..., 2] += 0.5
    numbers = torch.arange(3 * faces).view(faces, 3)
    colors = torch.rand(2, 3 * faces, 3, generator=generator)
    part = torch.randint(OTHER, OTHER + 4, (faces,), generator=generator)
    return rasterize(corners, numbers[None], 2 * size, 2 * size), corners, numbers, colors, part


def test_layers_by_hand(generator):
    """Against a loop over pixels and their samples."""
    face, vertices, faces, colors, part = scene(generator, faces=6, size=6)
    found = resolve_reference(face, vertices, faces, colors, part)
    for b in range(2):
        for row in range(6):
            for column in range(6):
                seen = []
                for y, x in ((2 * row + i, 2 * column + j) for i in (0, 1) for j in (0, 1)):
                    n = int(face[b, y, x])
                    if n < 0:
                        continue
                    corner = vertices[b, faces[n]].double()
                    system = torch.cat([corner[:, :2].T, torch.ones(1, 3)])
                    weights = torch.linalg.solve(system, torch.tensor([x + 0.5, y + 0.5, 1.0]).double())
                    seen.append(
                        (weights @ colors[b, faces[n]].double(), 1 / (weights @ (1 / corner[:, 2])), int(part[n]))
                    )
                hand = sum(p > OTHER for _, _, p in seen) >= 2
                assert bool(found.mask[b, row, column]) == hand
                assert float(found.cover[b, row, column]) == len(seen) / 4
                color = sum((c for c, _, _ in seen), torch.zeros(3).double()) / 4
                torch.testing.assert_close(found.color[b, :, row, column].double(), color, atol=1e-4, rtol=0)
                agreeing = [(float(z), p) for _, z, p in seen if (p > OTHER) == hand]
                z, p = min(agreeing) if agreeing else (0.0, 0)
                assert float(found.depth[b, row, column]) == pytest.approx(z, abs=1e-4)
                assert int(found.part[b, row, column]) == p


@pytest.mark.skipif(not jit.available(), reason="numba is not installed")
def test_compiled_layers_equal_plain_ones(generator):
    given = scene(generator)
    fast, plain = resolve(*given), resolve_reference(*given)
    for name in ("mask", "part"):
        assert torch.equal(getattr(fast, name), getattr(plain, name))
    for name in ("color", "cover", "depth"):
        torch.testing.assert_close(getattr(fast, name), getattr(plain, name), atol=2e-4, rtol=1e-4)


def test_a_hand_has_all_its_parts(hand):
    data = SyntheticHands("val", 96, 12, hand=hand)
    batch = data.batch(torch.arange(12))
    assert set(batch["parts"].unique().tolist()) >= set(range(OTHER, 18))
    assert torch.equal(batch["parts"] > OTHER, batch["mask"] > 0)
    assert torch.equal(batch["depth"] > 0, batch["parts"] > 0)
