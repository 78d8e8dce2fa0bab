"""Queue engines side by side: 1 KiB tasks that do nothing, all engines on one Valkey server, in turns.

``python -m benchmarks.queue_engines [--rounds 5]``; rows ``queue.*``. What is measured is at each step below; what an
engine is set to is in its adapter in ``engines/``.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

from benchmarks.enginerun import EngineRun, Failed, kill
from benchmarks.peers import ENGINES, OURS, Engine, Unavailable, prepare, versions
from benchmarks.rows import Better, Findings, Row, is_wanted, parser, rounds, tell
from tests.support.valkeyserver import running_valkey

ENQUEUED = 2000
BULK = 5000
DRAIN_SECONDS = 40.0
PICK_UPS, PICK_UP_SECONDS, MIN_PICK_UPS = 100, 8.0, 10
NAP_SECONDS = 5.0
RERUN_SECONDS = 75.0
QUICK = 100  # a quick run has so many times fewer tasks


@dataclass(frozen=True, slots=True)
class Step:
    """One measurement of one engine, and the rows (id, unit, what is better) that it gives figures for.

    ``at_once``: of all engines at the same time, since it waits more than it works. ``turns``: so many in a round, of a
    short one. ``quick``: also in a quick run.
    """

    measure: Callable[[EngineRun, int], Mapping[str, float]]
    rows: tuple[tuple[str, str, Better], ...]
    at_once: bool = False
    turns: int = 1
    quick: bool = True

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(row for row, _, _ in self.rows)


def enqueue(run: EngineRun, smaller: int) -> Mapping[str, float]:
    """One process, each call awaited before the next."""
    run.clear()
    count = ENQUEUED // smaller
    return {"queue.enqueue_one_by_one": count / run.act("one", count)}


def bulk(run: EngineRun, smaller: int) -> Mapping[str, float]:
    """Memory is the difference between two fillings, with no client connected: neither what an engine keeps once nor
    a client's buffers are in it."""
    run.clear()
    run.act("bulk", 1000 // smaller)
    before, count = run.used_memory(), max(BULK, run.engine.drained) // smaller
    rate = count / run.act("bulk", count)
    return {"queue.enqueue_in_bulk": rate, "queue.bytes_per_task": (run.used_memory() - before) / count}


def drain(processes: int) -> Callable[[EngineRun, int], Mapping[str, float]]:
    """The tasks are there first, then the workers start; the rate between 5 % and 95 % of them, with all at work."""

    def measure(run: EngineRun, smaller: int) -> Mapping[str, float]:
        run.clear()
        count = processes * run.engine.drained // smaller
        run.act("bulk", count)
        with run.workers(processes):
            starts = run.started(count, DRAIN_SECONDS)
        if len(starts) != count:
            raise Failed(f"{len(starts)} tasks began, {count} were enqueued")
        first_of_each = {process: moment for moment, process in reversed(starts)}
        all_at_work = max(first_of_each.values())
        times = [moment for moment, _ in starts[count // 20 : count * 19 // 20] if moment >= all_at_work]
        if len(first_of_each) < processes or len(times) < count // 10:
            raise Failed(f"{processes} processes were not at work at the same time for long enough")
        return {f"queue.drain_by_{processes}": (len(times) - 1) / (times[-1] - times[0])}

    return measure


def pick_up(run: EngineRun, smaller: int) -> Mapping[str, float]:
    """From the enqueue call to the task's start, the worker idle before."""
    run.clear()
    with run.workers(1):
        run.act("pick-up", 1, PICK_UP_SECONDS)  # once its worker is there
        took = run.act("pick-up", max(10, PICK_UPS // smaller), PICK_UP_SECONDS)
    if len(took) < MIN_PICK_UPS:
        raise Failed(f"{len(took)} tasks were picked up within {PICK_UP_SECONDS:.0f} s")
    hundredths = statistics.quantiles(took, n=100, method="inclusive")
    return {"queue.pick_up_p50": 1000 * hundredths[49], "queue.pick_up_p99": 1000 * hundredths[98]}


def rerun(run: EngineRun, _smaller: int) -> Mapping[str, float]:
    """A worker is killed one second into a task, another is started at once: seconds to the task's second start."""
    run.clear()
    run.act("nap", NAP_SECONDS)
    with run.workers(1) as (worker,):
        run.started(1, DRAIN_SECONDS)
        time.sleep(1)
        kill(worker)
        killed = time.monotonic()
        with run.workers(1):
            try:
                starts = run.started(2, RERUN_SECONDS)
            except Failed:
                raise Failed(f"not run again within {RERUN_SECONDS:.0f} s") from None
    return {"queue.rerun_after_kill": starts[1][0] - killed}


STEPS = (
    Step(enqueue, (("queue.enqueue_one_by_one", "tasks/s", "higher"),), turns=3),
    Step(bulk, (("queue.enqueue_in_bulk", "tasks/s", "higher"), ("queue.bytes_per_task", "bytes", "lower"))),
    Step(drain(1), (("queue.drain_by_1", "tasks/s", "higher"),)),
    Step(drain(2), (("queue.drain_by_2", "tasks/s", "higher"),), quick=False),
    Step(pick_up, (("queue.pick_up_p50", "ms", "lower"), ("queue.pick_up_p99", "ms", "lower")), turns=2),
    Step(rerun, (("queue.rerun_after_kill", "s", "lower"),), at_once=True, quick=False),
)


class Comparison:
    """The figures of all engines in all rounds, and why some are missing."""

    def __init__(self, runs: Mapping[str, EngineRun], steps: Sequence[Step], smaller: int) -> None:
        self._runs = runs
        self._names = list(runs)
        self._steps = steps
        self._smaller = smaller
        self._figures: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        self._failures: dict[tuple[str, str], str] = {}

    def round(self) -> None:
        for step in self._steps:
            if step.at_once:
                with ThreadPoolExecutor(len(self._runs)) as threads:
                    list(threads.map(self._measure, repeat(step), self._runs))
                continue
            for name in chain.from_iterable(self._next_order() for _ in range(step.turns)):
                self._measure(step, name)

    def _next_order(self) -> list[str]:
        """Each engine is the first one once: a machine that did little before is slower for a while."""
        self._names.append(self._names.pop(0))
        return list(self._names)

    def _measure(self, step: Step, name: str) -> None:
        """One engine, once; one that has failed in this step is not tried again, and whatever a peer does wrong ends
        nothing but its own step."""
        if (step.ids[0], name) in self._failures:
            return
        try:
            for row, figure in step.measure(self._runs[name], self._smaller).items():
                self._figures[row, name].append(figure)
                print(f"  {row:28} {name:14} {figure:12,.3f}", file=sys.stderr)  # it takes long: what it is at
        except Exception as error:
            why = str(error) if isinstance(error, Failed) else repr(error)
            print(f"  {step.ids[0]:28} {name:14} {why}", file=sys.stderr)
            self._failures |= {(row, name): why for row in step.ids}
        finally:
            self._runs[name].clear()  # what one leaves would be in the server of the next

    def findings(self) -> Findings:
        found = Findings()
        for row, unit, better in (row for step in self._steps for row in step.rows):
            figures = {engine.name: self._median(row, engine.name) for engine in ENGINES}
            ours = figures.pop(OURS)
            if ours is None:
                found.missing.append(row)
            else:
                found.rows.append(Row(row, unit, ours, better, figures))
        found.notes = [f"{row}: {name}: {why}" for (row, name), why in self._failures.items()]
        return found

    def _median(self, row: str, name: str) -> float | None:
        figures = [] if (row, name) in self._failures else self._figures[row, name]
        return statistics.median(figures) if figures else None


def prepared(engines: Iterable[Engine], *, quick: bool) -> tuple[dict[str, list[str]], list[str]]:
    """The commands of those engines that can be measured here, by name, and why others cannot."""
    commands: dict[str, list[str]] = {}
    notes = []
    for engine in engines:
        if quick and engine.name != OURS:
            notes.append(f"{engine.name}: a quick run measures no peers")
            continue
        try:
            commands[engine.name] = prepare(engine)
        except Unavailable as error:
            notes.append(f"{engine.name}: {error}")
    return commands, notes


def compare(options: argparse.Namespace) -> Findings:
    commands, notes = prepared(ENGINES, quick=options.quick)
    steps = [step for step in STEPS if is_wanted(options, *step.ids) and (step.quick or not options.quick)]
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as server:
        runs = {
            engine.name: EngineRun(engine, commands[engine.name], server.port, database, Path(folder))
            for database, engine in enumerate(ENGINES)
            if engine.name in commands
        }
        comparison = Comparison(runs, steps, QUICK if options.quick else 1)
        for _ in rounds(options):
            comparison.round()
    found = comparison.findings()
    found.notes += notes
    found.versions = {name: versions(run.engine) for name, run in runs.items() if run.engine.packages}
    return found


def main() -> int:
    options = parser(__doc__).parse_args()
    return tell(compare(options), options)


if __name__ == "__main__":
    sys.exit(main())
