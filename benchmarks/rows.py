"""What a benchmark measured: rows to read, and the same rows in a file for programs.

Each benchmark runs by itself, too: ``python -m benchmarks.NAME [--rows FILE]`` prints its rows and writes them as
``{"rows": [{"id", "unit", "ours", "peers": {name: number or null}, "better": "higher" or "lower"}]}``. A peer is null
when it could not be measured; a note says why.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROUNDS = 5
Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and what the peers have in its place, measured in the same run."""

    id: str
    unit: str
    ours: float
    better: Better
    peers: Mapping[str, float | None] = field(default_factory=dict)

    def __str__(self) -> str:
        against = [
            f"{name}: {value:,.3f}, ours is {self.ours / value:.2f} x" for name, value in self.peers.items() if value
        ]
        if missing := [name for name, value in self.peers.items() if value is None]:
            against.append(f"not measured: {', '.join(missing)}")
        return f"{self.id:48} {self.ours:12,.3f} {self.unit:8} {self.better} is better   {'; '.join(against)}".rstrip()


@dataclass(slots=True)
class Findings:
    """``notes``: what was not measured, and why. ``versions``: of each peer, in words. ``missing``: the rows that are
    left out since our own figure could not be had."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def add(self, more: "Findings") -> None:
        self.rows += more.rows
        self.notes += more.notes
        self.versions |= more.versions
        self.missing += more.missing

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, file: Path) -> "Findings":
        stored: dict[str, Any] = json.loads(file.read_text())
        return cls(**{**stored, "rows": [Row(**row) for row in stored["rows"]]})


def figure_text(value: float) -> str:
    """A figure as people read it, in about as many digits as can be trusted."""
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over all rounds."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def parser(doc: str | None) -> argparse.ArgumentParser:
    """For a benchmark's own options; it has those that ``python -m benchmarks`` passes on already."""
    own = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--rounds", type=int, default=ROUNDS, help=f"the median of so many is shown (default {ROUNDS})")
    own.add_argument("--seconds", type=float, default=3600.0, help="begin no round that would end after so long")
    own.add_argument("--quick", action="store_true", help="one small round without peers: whether it runs at all")
    own.add_argument("--only", nargs="*", default=[], metavar="ROW", help="rows whose ids begin so (default: all)")
    own.add_argument("--rows", type=Path, metavar="FILE", help="write the rows there, too, as JSON")
    return own


def is_wanted(options: argparse.Namespace, *ids: str) -> bool:
    """Whether one of these rows was asked for."""
    return not options.only or any(row.startswith(tuple(options.only)) for row in ids)


def rounds(options: argparse.Namespace) -> Iterator[int]:
    """The numbers of the rounds that there is time for, at least one."""
    began, end = time.monotonic(), time.monotonic() + options.seconds
    for number in range(1 if options.quick else options.rounds):
        taken = time.monotonic() - began
        if number and time.monotonic() + taken / number > end:
            return
        yield number


def tell(found: Findings, options: argparse.Namespace) -> int:
    """Print what was found, and write it where ``--rows`` says; the exit code: 1 when a row is missing."""
    for row in found.rows:
        print(row)
    for note in found.notes:
        print(f"note: {note}")
    if options.rows is not None:
        found.write(options.rows)
    return 1 if found.missing else 0
