"""What the controller says of a queue: the newest status of each object, and the last decisions."""

from dataclasses import asdict

import orjson

from taskfleet.core.chronicle import MOST_DECISIONS, Chronicle, Decision
from taskfleet.core.task import QueueKey
from taskfleet.store import keys
from taskfleet.store.connection import Connection


async def record(connection: Connection, queue: QueueKey, news: Chronicle) -> None:
    statuses, decisions = keys.key(queue, "said"), keys.key(queue, "decisions")
    fields = {f"{kind}/{name}": status for (kind, name), status in news.said.items()}
    kept = [part for field, status in fields.items() if status is not None for part in (field, orjson.dumps(status))]
    if kept:
        await connection.call("HSET", statuses, *kept)
    if gone := [field for field, status in fields.items() if status is None]:
        await connection.call("HDEL", statuses, *gone)
    if news.decisions:
        await connection.call("LPUSH", decisions, *(orjson.dumps(asdict(each)) for each in reversed(news.decisions)))
        await connection.call("LTRIM", decisions, 0, MOST_DECISIONS - 1)


async def chronicle(connection: Connection, queue: QueueKey) -> Chronicle:
    statuses: dict[bytes, bytes] = await connection.call("HGETALL", keys.key(queue, "said"))
    said = {}
    for subject, status in sorted(statuses.items()):
        kind, _, name = subject.decode().partition("/")
        said[kind, name] = orjson.loads(status)
    decisions = await connection.call("LRANGE", keys.key(queue, "decisions"), 0, -1)
    return Chronicle(said, [Decision(**orjson.loads(each)) for each in decisions])
