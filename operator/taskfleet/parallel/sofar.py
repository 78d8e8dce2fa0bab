"""What a condition that ends a loop knows of what came of it so far. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.parallel.tally import Tally


def so_far(tally: Tally, results: Iterable[Mapping[str, Any]], seconds: float) -> dict[str, Any]:
    return {
        "$completed": tally.items[ItemStatus.COMPLETED],
        "$failed": tally.items[ItemStatus.FAILED],
        "$cancelled": tally.items[ItemStatus.CANCELLED],
        "$done": tally.done,
        "$elapsed": seconds,
        "$results": list(results),
    }
