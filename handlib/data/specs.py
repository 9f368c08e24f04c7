"""Specs name data sets on the command line: `rhd:PATH`, or with arguments of the reader, `stb,camera=SK:PATH`.

`HANDS` and `BACKGROUNDS` list the kinds. Only `interhand` has a validation split. The argument `hold=0.05` makes one
from the last twentieth of the recordings of the training split, and removes it from there: `rhd,hold=0.05:PATH`.
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


def open_spec(spec: str, split: str = "test", size: int = 224) -> RealHands:
    """Opens the data set of hands that a spec names, such as "rhd:PATH" or "rhd,joint0=wrist,hand=visible:PATH".

    split: "train", "test", or "val" if the data set has one or the spec has `hold`; data sets for testing have only
    "test". The arguments in the spec are those of the reader, and `hold`. Raises `ValueError` for an invalid spec or
    split.
    """
    kind, arguments, path = parse_spec(spec, HANDS)
    reader, validation = HANDS[kind], split == "val"
    fraction = _number(arguments.pop("hold", None), "hold", spec)
    if validation and fraction is None and not reader.validates:
        raise ValueError(f"{spec}: has no split 'val': hold out some hands for it, as in {hold_out(spec, 0.05)}")
    split = ("val" if fraction is None else "train") if validation else split_of(split)
    values = _arguments(reader, arguments, {"root", "folder", "split", "size"}, spec)
    if reader.trains:
        data = reader(path, split=split, size=size, **values)
        return data if fraction is None or split != "train" else data.hold_out(fraction, validation)
    if split != "test":
        name = "val" if validation else split
        raise ValueError(f"{spec}: {reader.__name__} is for tests alone and has no split '{name}'")
    return reader(path, size=size, **values)


def hold_out(spec: str, fraction: float) -> str:
    """Returns the spec with a fraction of its training hands held out, unless it already has a validation split."""
    head, _, path = spec.partition(":")
    return spec if holds_out(spec) else f"{head},hold={fraction:g}:{path}"


def holds_out(spec: str) -> bool:
    """Returns whether the data set of a spec has a validation split."""
    kind, arguments, _ = parse_spec(spec, HANDS)
    return "hold" in arguments or HANDS[kind].validates


def open_backgrounds(spec: str) -> NYUBackgrounds | ImageFolderBackgrounds:
    """Opens the source of backgrounds that a spec names: "nyu:FILE" or "pictures:FOLDER"."""
    kind, arguments, path = parse_spec(spec, BACKGROUNDS)
    return BACKGROUNDS[kind](path, **_arguments(BACKGROUNDS[kind], arguments, {"path"}, spec))


def parse_spec(spec: str, kinds: dict[str, Callable]) -> tuple[str, dict[str, str], str]:
    """Splits `kind[,name=value…]:PATH` into kind, arguments and path. Raises `ValueError` for any other text."""
    head, colon, path = spec.partition(":")
    kind, *pairs = head.split(",")
    if kind not in kinds or not colon or not path:
        raise ValueError(f"'{spec}' names no data set: write KIND:PATH with KIND one of {', '.join(kinds)}")
    if not all("=" in pair for pair in pairs):
        raise ValueError(f"'{spec}': write arguments as {kind},name=value:PATH")
    return kind, dict(pair.split("=", 1) for pair in pairs), path


def _number(text: str | None, name: str, spec: str) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise ValueError(f"{spec}: '{name}' must be a number, not '{text}'") from None


def _arguments(reader: Callable, texts: dict[str, str], reserved: set[str], spec: str) -> dict[str, object]:
    """Converts the texts of arguments to the types of the reader's defaults."""
    parameters = {name: p for name, p in inspect.signature(reader).parameters.items() if name not in reserved}
    values: dict[str, object] = {}
    for name, text in texts.items():
        if name not in parameters:
            names = ", ".join(parameters) or "none"
            raise ValueError(f"{spec}: {reader.__name__} has no argument '{name}', only {names}")
        default = parameters[name].default
        try:
            if isinstance(default, bool):
                values[name] = _YES[text.lower()]
            elif isinstance(default, int) or default is None:  # None: a number that the reader finds by itself
                values[name] = int(text)
            else:
                values[name] = type(default)(text)
        except (KeyError, ValueError):
            expected = "yes or no" if isinstance(default, bool) else "a number"
            raise ValueError(f"{spec}: '{name}' must be {expected}, not '{text}'") from None
    return values
