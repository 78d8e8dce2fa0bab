"""The command line of ``make chaos``."""

import argparse
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Options:
    """``lease`` and ``pause`` are in seconds. ``fsync`` is the store's ``appendfsync``."""

    tasks: int
    seed: int
    lease: float
    workers: int
    pause: float
    fsync: str
    out: Path
    peers: bool


def parse(arguments: Sequence[str]) -> Options:
    """Parse or exit with a sentence."""
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Kill, freeze and cut off workers and the store while tasks run, and count what came of each task.",
        epilog='Through make: make chaos ARGS="--tasks 2000 --seed 7"',
    )
    parser.add_argument(
        "--tasks", type=_whole(1), default=20_000, metavar="N", help="tasks to accept (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=_whole(0), metavar="N", help="which troubles, in which order (default: a new one, printed)"
    )
    parser.add_argument(
        "--lease",
        type=_seconds,
        default=5.0,
        metavar="SECONDS",
        help="the queue's leaseDuration (default: %(default)g)",
    )
    parser.add_argument(
        "--workers", type=_whole(2), default=4, metavar="N", help="worker processes, at least 2 (default: %(default)s)"
    )
    parser.add_argument(
        "--pause",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="mean time between two troubles (default: %(default)g)",
    )
    parser.add_argument(
        "--fsync",
        choices=("always", "everysec"),
        default="always",
        help="the store's appendfsync; with everysec each kill is a power loss, which takes the last second of writes "
        "off its disk (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=RESULTS, metavar="FILE", help="results as JSON (default: chaos/results.json)"
    )
    parser.add_argument(
        "--peers",
        action="store_true",
        help="instead: SIGKILL one of two workers of other task queues and of Taskfleet, all at default settings; the "
        "others are installed into a temporary folder",
    )
    found = parser.parse_args(arguments)
    seed = secrets.randbelow(1_000_000) if found.seed is None else found.seed
    return Options(found.tasks, seed, found.lease, found.workers, found.pause, found.fsync, found.out, found.peers)


def _whole(least: int) -> "type[int]":
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return number  # type: ignore[return-value]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 60")
    return seconds
