"""`handlib data check | render | show`."""

import sys
from pathlib import Path
from typing import Literal

import tyro
from PIL import Image

from ..data.check import check
from ..data.sample import spread
from ..data.specs import BACKGROUNDS, HANDS, open_backgrounds, open_spec
from ..data.synthetic import SyntheticHands
from ..data.synthetic.render import render
from ..support.arguments import at_least
from ..support.files import atomic_path
from ..viz.sheet import sample_sheet

Split = Literal["train", "val", "diverse", "studio", "object"]  # the keys of `settings.SETTINGS`
KINDS = (*HANDS, *BACKGROUNDS)
PICTURES = (".png", ".jpg", ".jpeg", ".webp")  # what a sheet can be saved as


def check_command(specs: tyro.conf.Positional[tuple[str, ...]], /) -> None:
    """Checks whether a download of a real data set is complete and is read correctly; exit status 1 if not.

    Args:
        specs: KIND:PATH of data sets or of backgrounds, such as rhd:PATH or nyu:FILE.
    """
    if not specs:
        raise ValueError(f"no data set given: handlib data check KIND:PATH …, KIND one of {', '.join(KINDS)}")
    reports = [check(spec) for spec in specs]
    print("\n\n".join(str(report) for report in reports))
    if not all(report.ok for report in reports):
        sys.exit(1)


def render_command(
    split: Split,
    out: Path,
    n: int | None = None,
    size: int = 224,
    seed: int = 0,
    shard_size: int = 0,
    workers: int = 0,
    backgrounds: str | None = None,
) -> None:
    """Writes a split of the synthetic benchmark to disk, for programs that do not use handlib.

    If it is interrupted, run it again: it keeps the files that are there.

    Args:
        split: Which hands: train, val, or one of the tests diverse, studio and object.
        out: Folder to write to: PNG and JSON files, or tar files with --shard-size; card.json says what they are.
        n: How many samples; all of the split by default.
        size: Side of the square pictures in pixels.
        seed: Another one gives other hands of the same kind.
        shard_size: Samples in a tar file, as WebDataset reads them; 0: plain files.
        workers: Processes that render; 0: this one alone.
        backgrounds: nyu:FILE or pictures:FOLDER instead of the photographs that two Python packages bring.
    """
    at_least(1, **{"--n": n, "--size": size})
    at_least(0, **{"--seed": seed, "--shard-size": shard_size, "--workers": workers})
    source = None if backgrounds is None else open_backgrounds(backgrounds)
    data = SyntheticHands(split, size, n, seed, backgrounds=source)
    print("wrote", render(data, out, shard_size, workers), "with", data.name)


def show_command(
    spec: tyro.conf.Positional[str] = "",
    /,
    split: str = "",
    out: Path = Path("sheet.png"),
    n: int = 12,
    size: int = 160,
    seed: int = 0,
) -> None:
    """Draws a contact sheet of a data set: images, beside each its skeleton and, where it has them, parts and depth.

    Args:
        spec: KIND:PATH of a real data set, such as rhd:PATH; none for the synthetic benchmark.
        split: train, val, diverse (the default), studio or object; of a real data set train or test (the default).
        out: Picture to write: .png, .jpg or .webp.
        n: How many samples, spread evenly over the split.
        size: Side of each picture in pixels.
        seed: Seed of the synthetic benchmark.
    """
    at_least(1, **{"--n": n, "--size": size})
    if out.suffix.lower() not in PICTURES:
        raise ValueError(f"--out {out}: name a picture that ends in {', '.join(PICTURES)}")
    if spec:
        if spec.startswith("rhd") and "depth=" not in spec.partition(":")[0]:
            spec = f"rhd,depth=yes{spec[3:]}"  # which its reader leaves out unless asked
        data = open_spec(spec, split or "test", size)
    else:
        data = SyntheticHands(split or "diverse", size, seed=seed)
    sheet = sample_sheet([data[i] for i in spread(len(data), n)], size=size)
    sheet = Image.alpha_composite(Image.new("RGBA", sheet.size, "white"), sheet).convert("RGB")
    with atomic_path(out) as temporary:
        sheet.save(temporary, {".png": "PNG", ".webp": "WEBP"}.get(out.suffix.lower(), "JPEG"))
    print("wrote", out, "of", data.name)


def data_command(arguments: list[str]) -> None:
    verbs = {"check": check_command, "render": render_command, "show": show_command}
    tyro.extras.subcommand_cli_from_dict(verbs, prog="handlib data", args=arguments or ["--help"])
