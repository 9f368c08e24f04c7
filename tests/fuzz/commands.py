"""Every option of every command, with good and bad values, through `handlib.cli.main` in this process."""

import contextlib
import dataclasses
import inspect
import io
import os
import sys
import tempfile
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from files import make_checkpoint, make_record
from hypothesis import strategies as st
from loaded import hand, photograph
from miniatures import write_photos
from outcomes import where
from PIL import Image

from handlib.cli import commands
from handlib.cli.bench import BENCHES
from handlib.cli.data import render_command, show_command
from handlib.cli.evaluate import evaluate_command
from handlib.cli.predict import predict_command
from handlib.cli.reproduce import reproduce_command
from handlib.cli.results import results_command
from handlib.training.photo_model import PhotoTraining
from handlib.training.train import TrainConfig

NUMBERS = ("0", "1", "2", "-1", "-5", "0.5", "nan", "inf", "1e400", "x", "", "9" * 400, "NaN", "1,5")
TEXTS = ("x", "", "nowhere:x", "rhd", "rhd:", "photos:.", "/", "/proc/nothing", "a\x00b", "é" * 300, "-")
TINY = "--images 4 --val-images 2 --batch-size 2 --epochs 1 --lifting-steps 1 --workers 0".split()
UNEXPECTED = "internal error"


@cache
def home() -> Path:
    """A folder with a photograph, a checkpoint, results and a data set."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for name in ("results", "album"):
        (folder / name).mkdir()
    Image.fromarray(photograph()).save(folder / "photo.png")
    make_checkpoint(folder)
    make_record(folder / "results")
    write_photos(folder / "album", hand(), n=2)
    return folder


class Command(NamedTuple):
    """base: words that work, as a shell would split them. options: each flag with the values that are tried."""

    name: str
    base: str
    options: dict[str, tuple[str, ...]]
    share: float = 1.0

    @property
    def given(self) -> st.SearchStrategy[list[str]]:
        options = sorted((flag, value) for flag, values in self.options.items() for value in values)
        pair = st.sampled_from(options).map(lambda pair: [part for part in pair if part is not None])
        return st.lists(pair, max_size=2).map(
            lambda pairs: [*self.base.split(), *(word for pair in pairs for word in pair)]
        )

    def outcome(self, words: list[str]) -> tuple[str, str]:
        out, errors, before, argv = io.StringIO(), io.StringIO(), os.getcwd(), sys.argv
        status: Any = 0
        os.chdir(home())
        try:
            sys.argv = ["handlib", *words]
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                commands.main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException as error:
            return "raw error", where(error)
        finally:
            os.chdir(before)
            sys.argv = argv
        text = errors.getvalue()
        if "Traceback" in text or UNEXPECTED in text or status not in (0, 1, 2, 3):
            return "raw error", f"{status}: {text[-400:]}"
        if status == 0:
            return ("silent", "nan is printed") if " nan" in out.getvalue() else ("right", "")
        return ("clear error", "") if text.strip() or status == 1 else ("silent", f"status {status} without a word")


def values(annotation: Any) -> tuple[str | None, ...]:
    """What is tried as the value of an option of this type."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return (*map(str, parts), "x", "")
    if parts and typing.get_origin(annotation) is not tuple:
        annotation, parts = parts[0], ()
    if annotation in (int, float) or (parts and parts[0] is float):
        return NUMBERS
    return TEXTS if annotation is not bool else ("x",)


def of(function: Callable) -> dict[str, tuple[str, ...]]:
    """The options of a command, by its function's arguments."""
    parameters = inspect.signature(function).parameters.values()
    named = [p for p in parameters if p.kind is not p.POSITIONAL_ONLY]
    flags = {f"--{p.name.replace('_', '-')}": values(p.annotation) for p in named if p.annotation is not bool}
    return (
        flags
        | {f"--no-{p.name.replace('_', '-')}": (None,) for p in named if p.annotation is bool}
        | {"--nonsense": ("1",)}
    )


def of_config(kind: type, prefix: str = "", leave: tuple[str, ...] = ()) -> dict[str, tuple[str, ...]]:
    """The options that a config's fields are, those of configs inside of it among them."""
    flags = {}
    for field in dataclasses.fields(kind):
        if field.name in leave:
            continue
        flag = f"--{prefix}{field.name.replace('_', '-')}"
        if dataclasses.is_dataclass(field.type):
            flags |= of_config(field.type, prefix)
        elif field.type is bool:
            flags[flag] = flags[f"--{prefix}no-{field.name.replace('_', '-')}"] = (None,)
        else:
            flags[flag] = values(field.type)
    return flags


LARGE = ("profile", "workers", "posenet", "pretrained", "feature_width", "pose_width", "device", "trunk")
TARGETS: list[Command] = [
    Command(
        "predict",
        "predict photo.png --checkpoint model.safetensors --box 20 20 160 --no-page",
        of(predict_command),
        1.5,
    ),
    Command("predict lite", "predict photo.png", {"--checkpoint": ("lite", "x", ""), "--box": ("0 0 0",)}, 0.2),
    Command("evaluate", "evaluate --checkpoint model.safetensors --split val --n 2", of(evaluate_command)),
    Command(
        "evaluate photos",
        "evaluate --checkpoint model.safetensors --data photos:album --n 2",
        of(evaluate_command),
        0.5,
    ),
    Command(
        "train",
        f"train --profile smoke {' '.join(TINY)} --out run --no-resume",
        of_config(TrainConfig, leave=LARGE),
        1.5,
    ),
    Command(
        "train photo",
        "train --profile photo --rows 2 --lift-steps 10 --tune-steps 10 --photographs nowhere",
        {
            flag: tuple(v for v in tried or (None,) if v in ("-1", "nan", "x", "", "9" * 400)) or ("x",)
            for flag, tried in of_config(PhotoTraining).items()
        },
        0.5,
    ),
    Command("profile", "train --profile nowhere", {"--profile": ("x", "", "9"), "--out": ("a\x00b",)}, 0.2),
    Command(
        "ablate", "ablate", {"schedule": ("--help", "--profile=x", "--epochs=x"), "x": (None,), "--help": (None,)}, 0.2
    ),
    Command("reproduce", "reproduce all --dry-run --profile smoke", of(reproduce_command)),
    Command("reproduce table", "reproduce --dry-run", {name: (None,) for name in ("x", "results", "show", "")}, 0.2),
    Command("results show", "results show", of(results_command) | {"record": (None,), "none": (None,)}),
    Command("results verify", "results verify", of(results_command) | {"record": (None,)}, 0.5),
    Command("data check", "data check", {"photos:album": (None,), **{text: (None,) for text in TEXTS}}, 0.5),
    Command("data show", "data show --split val --n 2 --size 32 --out sheet.png", of(show_command)),
    Command("data show photos", "data show photos:album --n 2 --size 32 --out sheet.png", of(show_command), 0.3),
    Command(
        "data render",
        "data render --split val --n 2 --size 32 --out rendered",
        {flag: tuple(v for v in tried or (None,) if v not in ("1", "2")) for flag, tried in of(render_command).items()},
    ),
    Command("data", "data", {"x": (None,), "check": ("--help",), "--help": (None,), "": (None,)}, 0.2),
    *(
        Command(
            f"bench {name}",
            f"bench {name} --profile nowhere",  # which would take minutes if it worked
            {"--profile": ("x", ""), "--help": (None,), "--results-dir": ("--x",)},
            0.1,
        )
        for name in BENCHES
    ),
    Command(
        "no command",
        "",
        {word: (None,) for word in ("", "x", "--help", "--version", "info", "fit", "-x", "--traceback", "\x00")},
        0.5,
    ),
]
