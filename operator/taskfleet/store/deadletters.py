"""Dead letters: failed tasks, which are kept with their body until someone redrives or purges them."""

from collections.abc import AsyncIterator, Sequence

from taskfleet.core.settlement import DeadLetter
from taskfleet.core.task import QueueKey
from taskfleet.store import keys, lua, reading
from taskfleet.store.connection import Connection
from taskfleet.store.submission import accept

_AT_ONCE = 200


async def dead_letters(
    connection: Connection, queue: QueueKey, after: tuple[float, str] | None
) -> AsyncIterator[DeadLetter]:
    """Those there are now, oldest first, and by id where they failed at once. What comes meanwhile is left out: a
    redriven task that fails again would else be met for ever."""
    index = keys.key(queue, "failed")
    newest = _scored(await connection.call("ZRANGE", index, -1, -1, "WITHSCORES"))
    seen = None if after is None else (round(after[0] * 1000), after[1])
    at = 0 if seen is None else await _place_after(connection, index, seen[1], seen[0])
    while newest:
        page = _scored(await connection.call("ZRANGE", index, at, at + _AT_ONCE - 1, "WITHSCORES"))
        page = [(task_id, failed_at) for task_id, failed_at in page if failed_at <= newest[0][1]]
        if not page:
            return
        views = await reading.get(connection, queue, [task_id for task_id, _ in page])
        for view, (task_id, failed_at) in zip(views, page, strict=True):
            if view is not None and (seen is None or (failed_at, task_id) > seen):
                yield DeadLetter(view, failed_at / 1000)
        at = await _place_after(connection, index, *page[-1])


async def _place_after(connection: Connection, index: str, task_id: str, failed_at: int) -> int:
    """Where to go on; the reader may have taken away what it was shown, and that may even have failed again."""
    score = await connection.call("ZSCORE", index, task_id)
    if score is not None and int(score) == failed_at:
        return int(await connection.call("ZRANK", index, task_id)) + 1
    return int(await connection.call("ZCOUNT", index, "-inf", f"({failed_at}"))


async def redrive(connection: Connection, queue: QueueKey, ids: Sequence[str]) -> dict[str, str]:
    outcome: dict[str, str] = {}
    asked = list(dict.fromkeys(ids))
    while len(outcome) < len(asked):  # a reply is shorter than asked for when its tasks are big
        part = asked[len(outcome) : len(outcome) + _AT_ONCE]
        reply = await connection.run(lua.REDRIVE, queue, *part)
        accept(queue, reply)
        outcome.update(zip(part, (word.decode() for word in reply[1:]), strict=False))
    return outcome


async def purge(connection: Connection, queue: QueueKey, ids: Sequence[str]) -> dict[str, str]:
    outcome: dict[str, str] = {}
    asked = list(dict.fromkeys(ids))
    for first in range(0, len(asked), _AT_ONCE):
        part = asked[first : first + _AT_ONCE]
        words = await connection.run(lua.PURGE, queue, *part)
        outcome.update(zip(part, (word.decode() for word in words), strict=True))
    return outcome


def _scored(reply: Sequence[bytes]) -> list[tuple[str, int]]:
    return [(name.decode(), int(score)) for name, score in zip(reply[::2], reply[1::2], strict=True)]
