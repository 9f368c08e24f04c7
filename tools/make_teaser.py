"""Makes the picture of the README, book/_static/teaser.png, with the network that ships."""

import sys
from pathlib import Path

import torch

from handlib import DHPE, refine
from handlib.camera import crop_to_px
from handlib.data import SyntheticHands
from handlib.viz.plots import contact_sheet, draw_skeleton, overlay, to_image

SAMPLES = (12, 30)  # of the test set; any will do


def main(samples: tuple[int, ...] = SAMPLES) -> None:
    model = DHPE.from_pretrained("lite")
    data = SyntheticHands("diverse", size=224)
    pictures = []
    for index in samples:
        sample = data[index]
        images = sample.image[None]
        with torch.no_grad():
            first = model(images)
        picture = to_image(sample.image)
        pictures += [picture, draw_skeleton(picture, sample.joints_px)]
        for output in (first, refine(model, images, first)):
            pixels = crop_to_px(output.mesh_crop.vertices[0], 224)
            pictures.append(overlay(sample.image, pixels, model.hand.faces, output.joints_2d[0]))
    path = Path(__file__).resolve().parents[1] / "book" / "_static" / "teaser.png"
    contact_sheet(pictures, columns=4, size=224).save(path, optimize=True)
    print("wrote", path)


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SAMPLES)
