"""Records pytorch3d's soft silhouette of a hand in tests/renderer/pytorch3d_soft.npz, for tests without pytorch3d."""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from handlib import Renderer
from handlib.experiments.bench.renderer import hands

SIZE, SIGMA = 64, 1e-4
OUT = Path(__file__).parents[1] / "tests" / "renderer" / "pytorch3d_soft.npz"


def main() -> None:
    vertices, faces = hands(1, SIZE)
    leaf = vertices[0].requires_grad_()
    image = Renderer(SIZE, "pytorch3d", gradient="soft", sigma=SIGMA).silhouette(leaf, faces)
    pull = torch.randn(SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((image * pull).sum(), leaf)
    arrays = {"vertices": leaf, "faces": faces.short(), "pull": pull, "image": image, "gradient": gradient}
    arrays = {name: tensor.detach().numpy() for name, tensor in arrays.items()}
    np.savez_compressed(OUT, **arrays, sigma=SIGMA, version=version("pytorch3d"))
    print(f"wrote {OUT}, {OUT.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
