"""Data sets named on a command line: `rhd:PATH`, or with named arguments of the reader, `stb,camera=SK:PATH`.

| kind | reader | splits |
|---|---|---|
| `rhd` | `RHD` | train, test |
| `stb` | `STB` | train, test |
| `do` | `DexterObject` | test |
| `freihand` | `FreiHAND` | train, test |
| `ho3d` | `HO3D` | train, test |
| `interhand` | `InterHand26M` | train, val, test |
| `photos` | `PhotoFolder` | test |
| `nyu`, `pictures` | `NYUBackgrounds`, `ImageFolderBackgrounds`: backgrounds | |

Of the real sets only `interhand` has a split for validation. With `hold=0.05` among the arguments the last twentieth of
the training split's recordings is one, and is left out of the training split: `rhd,hold=0.05:PATH`.
"""

import inspect
from collections.abc import Callable

from .real.dexter_object import DexterObject
from .real.folder_backgrounds import ImageFolderBackgrounds
from .real.frames import RealHands, split_of
from .real.freihand import FreiHAND
from .real.ho3d import HO3D
from .real.interhand import InterHand26M
from .real.nyu import NYUBackgrounds
from .real.photo_folder import PhotoFolder
from .real.rhd import RHD
from .real.stb import STB

HANDS = {
    "rhd": RHD,
    "stb": STB,
    "do": DexterObject,
    "freihand": FreiHAND,
    "ho3d": HO3D,
    "interhand": InterHand26M,
    "photos": PhotoFolder,
}
BACKGROUNDS = {"nyu": NYUBackgrounds, "pictures": ImageFolderBackgrounds}
_YES = {"yes": True, "true": True, "no": False, "false": False}


def open_spec(spec: str, split: str = "test", size: int = 224, skip_broken: bool = False) -> RealHands:
    """The data set of hands that a spec names, such as "rhd:PATH" or "rhd,joint0=wrist,hand=visible:PATH".

    split: "train" or "test", and "val" where the set has one or the spec holds hands out for it; a set for tests alone
    knows "test" only.
    The arguments in the spec are those of the reader, and `hold`.
    """
    kind, arguments, path = parse_spec(spec, HANDS)
    reader, held = HANDS[kind], split == "val"
    fraction = _number(arguments.pop("hold", None), "hold", spec)
    if held and fraction is None and not reader.validates:
        raise ValueError(f"{spec}: has no split 'val': hold hands out for it, as in {hold_out(spec, 0.05)}")
    split = ("val" if fraction is None else "train") if held else split_of(split)
    taken = {"root", "folder", "split", "size", "skip_broken"}
    chosen = _arguments(reader, arguments, taken, spec)
    if "split" in inspect.signature(reader).parameters:
        data = reader(path, split=split, size=size, skip_broken=skip_broken, **chosen)
        return data if fraction is None or split != "train" else data.hold_out(fraction, held)
    if split != "test":
        asked = "val" if held else split
        raise ValueError(f"{spec}: {reader.__name__} is for tests alone, it has no split '{asked}'")
    return reader(path, size=size, skip_broken=skip_broken, **chosen)


def hold_out(spec: str, fraction: float) -> str:
    """The spec with some of its training hands held out; as it is where some are already."""
    head, _, path = spec.partition(":")
    return spec if holds_out(spec) else f"{head},hold={fraction:g}:{path}"


def holds_out(spec: str) -> bool:
    """Whether a set's split "val" is not empty."""
    kind, arguments, _ = parse_spec(spec, HANDS)
    return "hold" in arguments or HANDS[kind].validates


def open_backgrounds(spec: str) -> NYUBackgrounds | ImageFolderBackgrounds:
    """The source of backgrounds that a spec names: "nyu:FILE" or "pictures:FOLDER"."""
    kind, arguments, path = parse_spec(spec, BACKGROUNDS)
    return BACKGROUNDS[kind](path, **_arguments(BACKGROUNDS[kind], arguments, {"path"}, spec))


def parse_spec(spec: str, kinds: dict[str, Callable]) -> tuple[str, dict[str, str], str]:
    """Kind, arguments and path of `kind[,name=value…]:PATH`."""
    head, colon, path = spec.partition(":")
    kind, *pairs = head.split(",")
    if kind not in kinds or not colon or not path:
        raise ValueError(f"'{spec}' names no data set: write KIND:PATH, KIND one of {', '.join(kinds)}")
    if not all("=" in pair for pair in pairs):
        raise ValueError(f"'{spec}': write arguments as {kind},name=value:PATH")
    return kind, dict(pair.split("=", 1) for pair in pairs), path


def _number(text: str | None, name: str, spec: str) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise ValueError(f"{spec}: '{name}' must be a number, not '{text}'") from None


def _arguments(reader: Callable, given: dict[str, str], taken: set[str], spec: str) -> dict[str, object]:
    """Texts as the types that the reader's defaults have."""
    known = {name: p for name, p in inspect.signature(reader).parameters.items() if name not in taken}
    values: dict[str, object] = {}
    for name, text in given.items():
        if name not in known:
            raise ValueError(f"{spec}: {reader.__name__} has no argument '{name}', only {', '.join(known) or 'none'}")
        default = known[name].default
        try:
            if isinstance(default, bool):
                values[name] = _YES[text.lower()]
            elif isinstance(default, int) or default is None:  # None stands for a number to be found
                values[name] = int(text)
            else:
                values[name] = type(default)(text)
        except (KeyError, ValueError):
            wanted = "yes or no" if isinstance(default, bool) else "a number"
            raise ValueError(f"{spec}: '{name}' must be {wanted}, not '{text}'") from None
    return values
