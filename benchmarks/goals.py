"""What each row is to reach, as a ratio within one run or as a figure."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers import FLOOR, LITELLM
from benchmarks.rows import Row

NOT_PYTHON = frozenset({"bullmq"})


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal in words, and whether a row reaches it."""

    text: str
    is_reached: Callable[[Row], bool]


def times_better(row: Row, peer: float) -> float:
    """How many times better ours is: above 1 is better than the peer, whichever way the row counts."""
    better, worse = (row.ours, peer) if row.better == "higher" else (peer, row.ours)
    return better / worse if worse else float("inf")


def best_peer(row: Row, *, python: bool = False) -> tuple[str, float] | None:
    """Name and figure of the best engine besides ours; ``python``: of those in Python only."""
    known = [
        (name, value)
        for name, value in row.peers.items()
        if value is not None and name != FLOOR and not (python and name in NOT_PYTHON)
    ]
    return max(known, key=lambda peer: -times_better(row, peer[1])) if known else None


def _beats_peers(times: float, python_times: float) -> Callable[[Row], bool]:
    def is_reached(row: Row) -> bool:
        best, best_in_python = best_peer(row), best_peer(row, python=True)
        return (best is None or times_better(row, best[1]) >= times) and (
            best_in_python is None or times_better(row, best_in_python[1]) >= python_times
        )

    return is_reached


def _first() -> Goal:
    return Goal("first", _beats_peers(1, 1))


def _at_most(limit: float, unit: str) -> Goal:
    return Goal(f"at most {limit:g} {unit}", lambda row: row.ours <= limit)


def _at_least(limit: float, unit: str) -> Goal:
    return Goal(f"at least {limit:g} {unit}", lambda row: row.ours >= limit)


def _against_peer(times: float, text: str) -> Goal:
    return Goal(text, lambda row: all(times_better(row, peer) >= times for peer in row.peers.values() if peer))


def _beside(peer: str, times: float, text: str, limit: float = float("inf")) -> Goal:
    """So many times better than that one peer, where it was measured, and at most ``limit``."""

    def is_reached(row: Row) -> bool:
        figure = row.peers.get(peer)
        return row.ours <= limit and (figure is None or times_better(row, figure) >= times)

    return Goal(text, is_reached)


GOALS = {
    "queue.enqueue_one_by_one": _first(),
    "queue.enqueue_in_bulk": Goal("2 x the best peer", _beats_peers(2, 2)),
    "queue.bytes_per_task": _first(),
    "queue.drain_by_1": Goal("2 x BullMQ, 7 x the best in Python", _beats_peers(2, 7)),
    "queue.drain_by_2": Goal("2 x the best peer", _beats_peers(2, 2)),
    "queue.pick_up_p50": _first(),
    "queue.pick_up_p99": _first(),
    "queue.rerun_after_kill": _at_most(17, "s"),
    "scaling.rate_of_2_workers": _at_least(1.9, "x one worker"),
    "scaling.rate_of_3_workers": _at_least(2.8, "x one worker"),
    "scaling.spread_over_": _at_most(20, "% off"),
    "scaling.calls_of_a_sick_endpoint": _at_most(3, "calls"),
    "growth.drain_by_": _against_peer(1, "not slower than one process"),
    "growth.": _against_peer(1 / 1.5, "at most 1.5 x"),
    "worker.calls": _against_peer(0.95, "95 % of the bare loop"),
    "dataset.rows": _against_peer(0.9, "90 % of the bare loop"),
    "dataset.memory_of_100000_rows": _at_most(200, "MiB"),
    "dataset.memory_of_1000000_rows": _against_peer(1 / 1.1, "at most 1.1 x"),
    "parallel.steps": _against_peer(0.85, "85 % of plain tasks"),
    "parallel.steps_200ms": _against_peer(0.85, "85 % of plain tasks"),
    "parallel.memory": _at_most(200, "MiB"),
    "parallel.restart": _at_most(2, "s"),
    "parallel.until_seen_p99": _at_most(1, "s"),
    "parallel.million_items_added": _at_most(20, "MiB"),
    "pure.plan_10000_endpoints": _at_most(1, "s"),
    "pure.task_lines": _at_least(20_000, "lines/s"),
    "gateway.added_p50_at_": _beside(LITELLM, 3, "at most 4 ms, a third of LiteLLM's", limit=4),
    "gateway.rate_at_": _beside(LITELLM, 10, "10 x LiteLLM's"),
    "gateway.cpu_of_1000_requests": _at_most(1.5, "s"),
    "gateway.memory": _at_most(114, "MiB"),
    "streams.open_at_once": _at_least(1000, "streams"),
    "streams.broken": _at_most(0, "streams"),
    "batch.of_50000_lines.completed": _at_most(20, "s"),
    "batch.of_50000_lines.memory": _at_most(150, "MiB"),
    "batch.of_200_MB.completed": _at_most(20, "s"),
    "batch.of_200_MB.memory": _at_most(150, "MiB"),
    "soak.open_files_added": _at_most(2, "files"),
    "soak.memory_added": _at_most(8, "MiB"),
    "batch.p99_of_online_calls_beside_it": _against_peer(1 / 2, "at most 2 x"),
}


def goal_of(row: Row) -> Goal | None:
    """The goal whose row ids begin so, the most exact one."""
    found = [start for start in GOALS if row.id.startswith(start)]
    return GOALS[max(found, key=len)] if found else None
