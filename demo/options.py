"""The demo's command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Options:
    """``tasks`` is None for the whole file; ``sample`` calls are made one after another, around the run."""

    tasks: int | None
    sample: int
    file: Path
    out: Path


def parse(arguments: Sequence[str]) -> Options:
    """Parse or exit with a sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Label a few hundred reviews with a real model: workers go from zero to N and back to zero.",
        epilog='Through make: make demo ARGS="--tasks 50"',
    )
    parser.add_argument("--tasks", type=_positive, metavar="N", help="only the first N reviews (default: all 350)")
    parser.add_argument(
        "--file", type=Path, default=HERE / "reviews.jsonl", help="labelled task lines (default: demo/reviews.jsonl)"
    )
    parser.add_argument(
        "--sample",
        type=_not_negative,
        default=30,
        metavar="N",
        help="calls made one after another, half before and half after the run (default: %(default)s; 0 for none)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo-output"),
        metavar="DIR",
        help="results and picture (default: %(default)s)",
    )
    found = parser.parse_args(arguments)
    return Options(found.tasks, found.sample, found.file, found.out)


def _not_negative(text: str) -> int:
    return _whole_number(text, 0)


def _positive(text: str) -> int:
    return _whole_number(text, 1)


def _whole_number(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
    return int(text)
