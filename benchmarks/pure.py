"""What the pure parts cost: planning many endpoints, and reading a file of tasks.

``python -m benchmarks.pure [--rounds 5]``; rows ``pure.*``. CPU time, so that other programs count little.
"""

import json
import sys
import time
from collections.abc import Iterator

from benchmarks.rows import Findings, Row, medians, parser, rounds, tell
from taskfleet.api.tasklines import read_task_lines
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.core.plan import plan
from taskfleet.core.pool import PoolPolicy
from tests.core.given import endpoint, has, pool, seen, waiting

ENDPOINTS = 10_000
IN_A_POOL = 100  # as many as a pool may have
LINES, LINE_CHARACTERS = 50_000, 2000  # a file of 100 MB
QUICK_ENDPOINTS, QUICK_LINES = 200, 100


def seconds_to_plan(endpoints: int) -> float:
    """CPU seconds for one plan of each of so many endpoints' pools, all with work and of all speeds."""
    pools = [busy_pool(number) for number in range(endpoints // IN_A_POOL)]
    began = time.process_time()
    for number, each in enumerate(pools):
        observed = {
            policy.name: has(at % 4, inflight=at % 8, seconds_per_task=0.5 + at % 7)
            for at, policy in enumerate(each.endpoints)
        }
        plan(each, seen(waiting(small=100 * number + 1, large=50 * number), **observed), 1000.0)
    return time.process_time() - began


def busy_pool(number: int) -> PoolPolicy:
    names = [f"e{number}x{at}" for at in range(IN_A_POOL)]
    serves = ("small", "large")
    return pool(*(endpoint(name, models=serves[at % 2]) for at, name in enumerate(names)), max_workers=500)


def lines_a_second(count: int) -> float:
    """Task lines that a second of CPU reads and checks."""
    spec = TaskQueueSpec.model_validate({"models": [{"name": "stub"}]})
    line = json.dumps({"prompt": "x" * LINE_CHARACTERS}).encode() + b"\n"

    def lines() -> Iterator[bytes]:
        return (line for _ in range(count))

    began = time.process_time()
    read = sum(1 for _ in read_task_lines(lines(), spec=spec))
    return read / (time.process_time() - began)


def one_round(*, quick: bool) -> dict[str, float]:
    return {
        "plan": seconds_to_plan(QUICK_ENDPOINTS if quick else ENDPOINTS),
        "lines": lines_a_second(QUICK_LINES if quick else LINES),
    }


def main() -> int:
    options = parser(__doc__).parse_args()
    found = medians([one_round(quick=options.quick) for _ in rounds(options)])
    rows = [
        Row("pure.plan_10000_endpoints", "s", found["plan"], "lower"),
        Row("pure.task_lines", "lines/s", found["lines"], "higher"),
    ]
    return tell(Findings(rows), options)


if __name__ == "__main__":
    sys.exit(main())
