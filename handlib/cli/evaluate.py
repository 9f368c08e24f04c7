"""`handlib evaluate`: a model measured on a split of the open benchmark, or on a download of real data."""

import shlex
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from ..data import CachedHands, SyntheticHands, open_spec
from ..data.cache import CACHE
from ..data.specs import HANDS, parse_spec
from ..data.synthetic import digest
from ..dhpe import DHPE
from ..evaluation import results
from ..evaluation.evaluate import measurements, predictions
from ..evaluation.protocols import OWN_PROTOCOLS
from ..evaluation.submissions import SERVERS, estimates, server_of, write_submission
from ..refinement import METHOD, RefinementWeights
from ..support.arguments import at_least
from ..support.json_text import parse_json
from ..training.feed import evenly, in_memory


def evaluate_command(
    checkpoint: str = "lite",
    split: Literal["val", "diverse", "studio", "object"] = "diverse",
    data: str | None = None,
    n: int | None = None,
    refine: int = 0,
    name: str | None = None,
    results_dir: Path = Path("results"),
    submission: Path | None = None,
) -> None:
    """Measures a model on the synthetic benchmark, or on real data, and writes a results file.

    With refinement the file also holds what it did: the mean error at each iteration, and how often the error rose.
    With --submission it instead writes the file for a data set's evaluation server.

    Args:
        checkpoint: "lite" or a model.safetensors.
        split: Split of SyntheticHands; "diverse", "studio" and "object" are test sets.
        data: Test set of real hands instead, as KIND:PATH, such as rhd:PATH, stb:PATH, do:PATH, freihand:PATH,
            ho3d:PATH, interhand:PATH or photos:PATH.
        n: How many samples, of real data evenly spread over the set; all of them by default.
        refine: Iterations of test-time refinement; 0 for none.
        name: Name of the results file.
        results_dir: Folder that holds results files.
        submission: pred.json, with --data freihand:PATH or ho3d:PATH: writes estimates of all test hands for the server
            of that data set instead of measuring them. Needs no label of the test split and uses none.
    """
    started = time.perf_counter()
    at_least(1, **{"--n": n})
    at_least(0, **{"--refine": refine})
    model = DHPE.from_pretrained(checkpoint)
    if submission:
        return _submit(submission, model, data, n, refine)
    trained = parse_json(model.provenance.get("train", "{}"), f"{checkpoint}: its notes", "train it again")
    trained = trained if isinstance(trained, dict) else {}
    kind, hands, described = _real(data, model, n) if data else _synthetic(split, model, n)
    protocols = OWN_PROTOCOLS.get(kind.partition("-")[0], ()) if data else ()
    metrics, tables = measurements(predictions(model, hands, refine), len(hands), protocols, palm=hands.palm)
    if not metrics:
        raise ValueError(
            f"{hands.name}: no joint and no mask of it is annotated, so there is nothing to measure; `handlib data "
            "check` says which file would have them"
        )
    stem = checkpoint if checkpoint in ("lite", "photo") else Path(checkpoint).resolve().parent.name
    record = results.record(
        name or f"{stem}-{kind}" + (f"-refined{refine}" if refine else "") + (f"-n{n}" if n else ""),
        f"accuracy of {stem} on {'real' if data else 'synthetic'} hands, {'after' if refine else 'without'} test-time "
        "refinement",
        metrics,
        profile=trained.get("profile", "unknown"),
        config={
            "model": asdict(model.config),
            "train": trained,
            "refine": {"iterations": refine, "method": METHOD, **asdict(RefinementWeights())},
            "scored": list(hands.scored),
        },
        seed=trained.get("seed", 0),
        synthetic=not data,
        data=described,
        hand={"name": model.hand.name, "fingertips": model.hand.fingertips.name},
        started=started,
        command=_command(data),
        curves=tables,
    )
    for metric in metrics:
        print(f"{metric.name:48} {metric.value:8.3f}")
    print("wrote", results.write(record, results_dir))


def _synthetic(split: str, model: DHPE, n: int | None) -> tuple[str, CachedHands, dict[str, Any]]:
    dataset = SyntheticHands(split, model.config.size, n, hand=model.hand)
    hands = CachedHands.make(dataset, 2, CACHE)
    return split, hands, {"name": hands.name, "n": len(hands), "digest": digest(dataset)}


def _real(spec: str, model: DHPE, n: int | None) -> tuple[str, CachedHands, dict[str, Any]]:
    """Kind for names of files, the hands, and what the record says of them."""
    kind, arguments, _ = parse_spec(spec, HANDS)
    head, _, path = spec.partition(":")
    if "freihand" in OWN_PROTOCOLS.get(kind, ()) and "vertices" not in arguments:
        spec = f"{head},vertices=yes:{path}"  # whose protocol scores the mesh, too
    dataset = open_spec(spec, "test", model.config.size)
    if not len(dataset):
        raise ValueError(f"{spec}: it holds no hands")
    hands = in_memory([dataset if n is None else evenly(dataset, n)], 0, None, progress=True)
    return "-".join([kind, *arguments.values()]), hands, {"name": hands.name, "n": len(hands)}


def _submit(path: Path, model: DHPE, spec: str | None, n: int | None, refine: int) -> None:
    if spec is None or n is not None:
        raise ValueError("--submission takes all hands of a test split: give --data freihand:PATH or ho3d:PATH, no --n")
    dataset = open_spec(spec, "test", model.config.size)
    server = server_of(dataset)
    dataset.rule = replace(dataset.rule, rule=SERVERS[server].crop)
    hands = in_memory([dataset], 0, None, progress=True)
    write_submission(path, server, *estimates(model, hands, server, dataset.fingertips, refine))
    print(f"wrote {path} for the server {server}: put it into a zip, as pred.json")
    if model.hand.name == "openhand":
        print("note: vertices of the open hand are not MANO's, so only the server's scores of joints mean something")


def _command(data: str | None) -> str | None:
    """The command as it was given, but for where on this machine the data lie."""
    if data is None:
        return None
    kind, _, path = data.partition(":")
    shown = f"{kind}:{Path(path).name}"
    arguments = [argument.replace(data, shown) for argument in sys.argv[1:]]
    return shlex.join(["handlib", *arguments])
