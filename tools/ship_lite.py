"""Ships a training run as lite: `python tools/ship_lite.py runs/lite` writes handlib/weights/lite.safetensors."""

import sys
from pathlib import Path

from handlib import DHPE
from handlib.dhpe import WEIGHTS


def main(run: Path) -> None:
    model = DHPE.from_pretrained(run / "model.safetensors")
    path = WEIGHTS / "lite.safetensors"
    model.save(path, model.provenance, half=True)
    print(f"wrote {path}: {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
