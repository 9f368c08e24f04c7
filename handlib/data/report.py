"""The table that `handlib data check` prints: actual and expected values, and what to do if they differ."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Line:
    """One check. `ok` is None if there is nothing to compare with."""

    what: str
    found: str
    expected: str = ""
    ok: bool | None = None


@dataclass
class Report:
    """Lines of a table and remarks below it."""

    title: str
    source: str  # where to get the data set
    lines: list[Line] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all comparisons succeeded."""
        return all(line.ok is not False for line in self.lines)

    def add(self, what: str, found: object, expected: object = "", ok: bool | None = None) -> None:
        """Adds a line."""
        self.lines.append(Line(what, _text(found), _text(expected), ok))

    def count(self, what: str, found: int, official: int) -> None:
        """Adds a line that compares a count with the official one."""
        self.add(what, found, official, found == official)

    def below(self, what: str, value: float, bound: float, unit: str) -> None:
        """Adds a line that compares a number with an upper bound; NaN fails."""
        self.add(what, f"{value:.3g} {unit}", f"< {bound:g} {unit}", value < bound)

    def __str__(self) -> str:
        rows = [("", "found", "expected", "")]
        rows += [(line.what, line.found, line.expected, _VERDICTS[line.ok]) for line in self.lines]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        table = [
            "  ".join(
                text.rjust(width) if i in (1, 2) else text.ljust(width)
                for i, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        end = [] if self.ok else [f"Something is missing or wrong. Get the data set from {self.source}"]
        return "\n".join([self.title, "", *table, *_paragraph(self.remarks), *_paragraph(end)])


_VERDICTS = {True: "ok", False: "WRONG", None: ""}


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _paragraph(lines: Iterable[str]) -> list[str]:
    lines = list(lines)
    return ["", *lines] if lines else []
