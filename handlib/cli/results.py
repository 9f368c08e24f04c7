"""`handlib results show | verify`."""

from pathlib import Path
from typing import Literal

import tyro

from ..evaluation import audit


def results_command(
    action: tyro.conf.Positional[Literal["show", "verify"]],
    names: tyro.conf.Positional[tuple[str, ...]] = (),
    /,
    results_dir: Path = Path("results"),
    strict: bool = False,
) -> None:
    """Lists results files, or checks whether they can still be trusted.

    show: a table of all files, or everything about those named. verify: schema, digests, smoke runs, and whether the
    code has changed since; exit status 2 if there is an error.

    Args:
        action: show or verify.
        names: Names of results files; all of the folder by default.
        results_dir: Folder that holds results files.
        strict: With verify, treat doubts as errors.
    """
    if action == "show":
        print(audit.show(results_dir, names))
        return
    findings = audit.verify(results_dir, names)
    print(audit.report(findings, len(audit.paths(results_dir, names))))
    wrong = {f.file for f in findings if strict or f.level == "error"}
    if wrong:
        raise ValueError(f"not to be trusted: {', '.join(sorted(wrong))}")
