"""Every file that handlib reads, good ones made here, and what damage does to them."""

import io
import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from loaded import hand, photograph, predictor
from mano_files import Python2Pickle, originals_form
from miniatures import write_do, write_freihand, write_ho3d, write_interhand, write_photos, write_rhd, write_stb
from outcomes import is_clear, is_finite, is_same, where
from PIL import Image

from handlib import DHPE, HandModel
from handlib.data import open_spec
from handlib.evaluation import audit, results
from handlib.hand.files import OPENHAND
from handlib.photo.arrays import read_hands
from handlib.photo.read import read_photo
from handlib.photo.video import frames, timing, video_writer
from handlib.training.checkpoint import RunFolder, read_log

JUNK = {
    "empty": b"",
    "zeros": bytes(64),
    "text": b"no such thing\n",
    "page": b"<html><body>404</body></html>",
    "not UTF-8": b"\xff\xfe\x80{",
    "half an object": b'{"epoch": 1, "lo',
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "long number": b"[" + b"9" * 5000 + b"]",
    "large number": b'{"epoch": ' + b"9" * 400 + b"}",
    "not a number": b"[NaN, Infinity, 1e999]",
    "null": b"null",
    "list": b"[]",
    "object": b"{}",
    "zip": b"PK\x05\x06" + bytes(18),
    "newlines": b"\n" * 50,
    "PNG's first bytes": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "huge header": (2**60).to_bytes(8, "little") + b"{}",
    "pickle that calls": b"cos\nsystem\n(S'true'\ntR.",
}
ODD = [
    None,
    10**400,
    -1,
    0,
    1e308,
    "x",
    "",
    [],
    {},
    True,
    [[[[1]]]],
    "../../x.png",
    "nan",
    2**63,
    [None] * 21,
    [[1, 2], [3]],
]


class Damage(NamedTuple):
    """What is done to one of a reader's files: the how-many-eth, and how."""

    file: int
    kind: str
    place: float = 0.0
    value: Any = None


PLACES, NOTHING = st.floats(0, 1), st.just(None)


class Told(Exception):
    """What handlib reports rather than raises."""


def _kind(
    kind: str, place: st.SearchStrategy = PLACES, value: st.SearchStrategy = NOTHING
) -> st.SearchStrategy[Damage]:
    return st.tuples(st.integers(0, 30), st.just(kind), place, value).map(lambda parts: Damage(*parts))


damages = st.one_of(
    _kind("cut"),
    _kind("flip", value=st.integers(0, 7)),
    _kind("flips", value=st.integers(1, 255)),
    _kind("junk", value=st.sampled_from(sorted(JUNK))),
    _kind("value", value=st.sampled_from(range(len(ODD)))),
    _kind("gone"),
    _kind("more", value=st.sampled_from([b"\n", b"{}", bytes(9)])),
)


def damaged(path: Path, damage: Damage) -> None:
    content = bytearray(path.read_bytes())
    at = min(len(content) - 1, int(damage.place * len(content)))
    if damage.kind == "gone":
        path.unlink()
        return
    if damage.kind == "cut":
        content = content[:at]
    elif damage.kind == "flip" and content:
        content[at] ^= 1 << damage.value
    elif damage.kind == "flips":
        for k in range(at, min(len(content), at + 40)):
            content[k] ^= damage.value
    elif damage.kind == "junk":
        content = JUNK[damage.value]
    elif damage.kind == "more":
        content += damage.value
    elif damage.kind == "value" and path.suffix in (".json", ".jsonl"):
        content = _with_a_value(bytes(content), damage)
    path.write_bytes(bytes(content))


def _with_a_value(text: bytes, damage: Damage) -> bytes:
    """The JSON with one of its values, or fields, replaced."""
    first, _, rest = text.partition(b"\n") if text.startswith(b'{"epoch"') else (text, b"", b"")
    content, places = json.loads(first), []

    def walk(part: Any) -> None:
        for key in part if isinstance(part, dict) else range(min(len(part), 3)):
            places.append((part, key))
            if isinstance(part[key], dict | list):
                walk(part[key])

    if isinstance(content, dict | list):
        walk(content)
    if not places:
        return b"[]"
    part, key = places[min(len(places) - 1, int(damage.place * len(places)))]
    part[key] = ODD[damage.value]
    return json.dumps(content).encode() + (b"\n" + rest if rest else b"")


class Reader(NamedTuple):
    """make: writes good files into a folder; read: what is asked of them. ours: damage of any kind must be noticed."""

    name: str
    make: Callable[[Path], None]
    read: Callable[[Path], Any]
    share: float = 1.0
    ours: bool = False
    files: str = "*"

    @property
    def given(self) -> st.SearchStrategy[Damage]:
        return damages

    def outcome(self, damage: Damage) -> tuple[str, str]:
        folder, good = _good(self.name)
        with tempfile.TemporaryDirectory(prefix="fuzz-") as copy:
            folder = shutil.copytree(folder, copy, dirs_exist_ok=True)
            files = sorted(path for path in Path(folder).rglob(self.files) if path.is_file())
            path = files[damage.file % len(files)]
            try:
                damaged(path, damage)
                answer = self.read(Path(folder))
            except Told as said:
                return "clear error", str(said)
            except Exception as error:
                clear = is_clear(error, {path.name, Path(folder).name})
                return ("clear error" if clear else "raw error"), f"{where(error)} {path.name}"
        if not is_finite(answer):
            return "silent", f"NaN or infinity out of {path.name}"
        if self.ours and answer is not None and not is_same(answer, good):
            return "silent", f"another content out of {path.name}"
        return "right", ""


@cache
def _good(name: str) -> tuple[Path, Any]:
    """A reader's folder of good files, and what is in them."""
    reader = next(reader for reader in TARGETS if reader.name == name)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    reader.make(folder)
    return folder, reader.read(folder)


# ---- what is read


def picture(format: str, **options: Any) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with io.BytesIO() as buffer:
            Image.fromarray(photograph()).resize((64, 64)).save(buffer, format, **options)
            (folder / "photo.png").write_bytes(buffer.getvalue())

    return make


def photo(folder: Path) -> Any:
    return read_photo(folder / "photo.png").image()


def make_npz(folder: Path) -> None:
    shutil.copy(OPENHAND, folder / "hand.npz")


def make_pickle(folder: Path) -> None:
    with np.load(OPENHAND) as archive:
        fields = {name: archive[name] for name in archive.files}
    (folder / "MANO_RIGHT.pkl").write_bytes(Python2Pickle(2).file(originals_form(fields)))


def read_hand_model(folder: Path) -> Any:
    (path,) = [p for p in folder.iterdir() if p.is_file()] or [folder / "none.npz"]
    model = HandModel(path)
    return tuple(model())


def make_run(folder: Path) -> None:
    run = RunFolder(folder)
    run.open({"epochs": 2, "seed": 0}, resume=True)
    generator = torch.Generator().manual_seed(0)
    state = {
        "model": {"w": torch.randn(50, generator=generator)},
        "optimizer": {"step": 3},
        "average": {"w": torch.ones(4)},
        "sums": {},
        "epoch": 1,
        "step": 0,
        "updates": 4,
        "rows": 2,
        "pool_at_start": 0,
        "seconds": 1.5,
    }
    run.save(state, {"image": torch.arange(24, dtype=torch.uint8).view(2, 12)})
    for epoch in (1, 2):
        run.log({"epoch": epoch, "loss": 0.5 / epoch, "minutes": 0.1})


def read_run(folder: Path) -> Any:
    """The log is read, too, but has no digest: a run may be killed, or read, while it writes a line."""
    run, config = RunFolder(folder), {"epochs": 2, "seed": 0}
    read_log(folder)
    state = run.open(config, resume=True)
    return [state, run.rows(2)] if state else None


def make_record(folder: Path) -> None:
    metric = results.Metric("joints_mean_mm", 12.5, "mm", n=4)
    record = results.record(
        "record",
        "a claim",
        [metric],
        profile="laptop",
        config={"a": 1},
        data={"n": 4},
        hand={"name": "x"},
        started=0.0,
        command="handlib x",
        curves={"pck": {"t": [0.0, 1.0], "v": [0.5, 1.0]}},
    )
    results.write(record, folder)


def read_record(folder: Path) -> Any:
    """As `handlib results` does, for which a changed file is an error."""
    record = results.read(folder / "record.json")
    audit.show(folder)
    audit.show(folder, ("record",))
    wrong = [finding for finding in audit.verify(folder) if finding.level == "error"]
    if wrong:
        raise Told(wrong[0].text)
    return record


def make_checkpoint(folder: Path) -> None:
    from handlib import DHPEConfig

    torch.manual_seed(0)
    DHPE(DHPEConfig(size=32, feature_width=2, features=16, pose_width=2)).save(
        folder / "model.safetensors", {"train": "{}"}
    )


def read_model(folder: Path) -> Any:
    return dict(DHPE.from_pretrained(folder / "model.safetensors").state_dict())


def make_video(folder: Path) -> None:
    frame = torch.from_numpy(photograph()).movedim(-1, 0)[:, :64, :96]
    with video_writer(folder / "clip.mp4", (96, 64), 25.0) as write:
        for shift in range(4):
            write(frame.roll(3 * shift, -1))


def read_video(folder: Path) -> Any:
    path = folder / "clip.mp4"
    return [timing(path).fps, [frame.time_s for frame in islice(frames(path), 10)]]


def make_prediction(folder: Path) -> None:
    predictor()(photograph(), 300.0, 1, 0, (20, 20, 180))[0].save(folder / "hands.npz")


def dataset(spec: str, write: Callable[..., Any], split: str = "test", sub: str = "") -> tuple[Callable, Callable]:
    def make(folder: Path) -> None:
        write(folder / sub if sub else folder, hand())

    def read(folder: Path) -> Any:
        data = open_spec(f"{spec}:{folder / sub if sub else folder}", split, 32)
        samples = [data[i] for i in range(min(len(data), 2))]
        return [(sample.image, sample.K) for sample in samples]

    return make, read


TARGETS: list[Reader] = [
    *(Reader(f"photo: {kind}", picture(kind), photo, 1.5) for kind in ("PNG", "JPEG", "BMP", "WEBP", "TIFF")),
    Reader(
        "photo: PNG of a palette",
        lambda folder: (picture("PNG")(folder), Image.fromarray(photograph()).convert("P").save(folder / "photo.png"))[
            0
        ],
        photo,
    ),
    Reader("hand model: npz", make_npz, read_hand_model),
    Reader("hand model: MANO's pickle", make_pickle, read_hand_model, 0.5),
    Reader("checkpoint", make_checkpoint, read_model, ours=True),
    Reader("run: state, rows, log", make_run, read_run, 2, ours=True),
    Reader("results", make_record, read_record, 1.5, ours=True),
    Reader("predicted hands", make_prediction, lambda folder: read_hands(folder / "hands.npz")),
    *([Reader("video", make_video, read_video)] if find_spec("av") else []),
    Reader("RHD", *dataset("rhd", lambda root, model: write_rhd(root, model, n=2, size=320))),
    Reader("STB", *dataset("stb", write_stb)),
    Reader("Dexter+Object", *dataset("do", write_do)),
    Reader("FreiHAND", *dataset("freihand", write_freihand, "train")),
    Reader("HO3D", *dataset("ho3d", write_ho3d, "train")),
    Reader("InterHand2.6M", *dataset("interhand", write_interhand)),
    Reader("PhotoFolder", *dataset("photos", write_photos)),
]
