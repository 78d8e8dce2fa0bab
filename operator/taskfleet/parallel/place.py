"""Where something of a run is, as a key: of open items in the store, and of the tasks of their steps.

An item of the queue is ``7``, a step of it ``7-ROUND-STEP-ATTEMPT``, an item of the loop that this step is
``7-ROUND-STEP-ATTEMPT-3``, and so on. Pure.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from taskfleet.core.parallel.moves import At

_PARTS_OF_A_STEP = 4


def item_key(loop: str, index: int) -> str:
    """The key of an item of a loop; "" is that of the queue."""
    return f"{loop}-{index}" if loop else str(index)


def step_key(item: str, at: At) -> str:
    return f"{item}-{at.round}-{at.step}-{at.attempt}"


class Written:
    """What an earlier coordinator wrote down of open items, and of the loops inside them."""

    def __init__(self, entries: Mapping[str, Any] | None = None) -> None:
        self._items: dict[str, dict[int, Any]] = defaultdict(dict)
        self._loops: dict[str, Any] = {}
        for key, entry in (entries or {}).items():
            loop, _, last = key.rpartition("-")
            if key.count("-") % _PARTS_OF_A_STEP == 0:
                self._items[loop][int(last)] = entry
            else:
                self._loops[key] = entry

    def items(self, loop: str) -> dict[int, Any]:
        """Entries of the items of a loop by index, in order; they are given once."""
        return dict(sorted(self._items.pop(loop, {}).items()))

    def loop(self, key: str) -> Any:
        """The entry of a loop; None when there is none. It is given once."""
        return self._loops.pop(key, None)
