"""Data sets named on a command line: `rhd:PATH`, or with named arguments of the reader, `stb,camera=SK:PATH`.

| kind | reader | splits |
|---|---|---|
| `rhd` | `RHD` | train, test |
| `stb` | `STB` | train, test |
| `do` | `DexterObject` | test |
| `freihand` | `FreiHAND` | train, test |
| `photos` | `PhotoFolder` | test |
| `nyu`, `pictures` | `NYUBackgrounds`, `ImageFolderBackgrounds`: backgrounds | |
"""

import inspect
from collections.abc import Callable

from .dexter_object import DexterObject
from .folder_backgrounds import ImageFolderBackgrounds
from .frames import RealHands, split_of
from .freihand import FreiHAND
from .nyu import NYUBackgrounds
from .photo_folder import PhotoFolder
from .rhd import RHD
from .stb import STB

HANDS = {"rhd": RHD, "stb": STB, "do": DexterObject, "freihand": FreiHAND, "photos": PhotoFolder}
BACKGROUNDS = {"nyu": NYUBackgrounds, "pictures": ImageFolderBackgrounds}
_YES = {"yes": True, "true": True, "no": False, "false": False}


def open_spec(spec: str, split: str = "test", size: int = 224, skip_broken: bool = False) -> RealHands:
    """The data set of hands that a spec names, such as "rhd:PATH" or "rhd,joint0=wrist,hand=visible:PATH".

    split: "train" or "test"; a set for tests alone refuses "train". The arguments in the spec are those of the reader.
    """
    kind, arguments, path = parse_spec(spec, HANDS)
    reader = HANDS[kind]
    split = split_of(split)
    taken = {"root", "folder", "split", "size", "skip_broken"}
    chosen = _arguments(reader, arguments, taken, spec)
    if "split" in inspect.signature(reader).parameters:
        return reader(path, split=split, size=size, skip_broken=skip_broken, **chosen)
    if split != "test":
        raise ValueError(f"{spec}: {reader.__name__} is for tests alone, it has no split '{split}'")
    return reader(path, size=size, skip_broken=skip_broken, **chosen)


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
