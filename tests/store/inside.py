"""The store seen from inside: time moved by hand, and a census that compares every counter with the sets it counts."""

import asyncio
import struct
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from taskfleet.core.task import DEFAULT_TENANT, QueueKey
from taskfleet.store import Store, keys
from taskfleet.store.codec import HAS_EVENTS
from tests.support.waiting import eventually

ENQUEUED_AT_BYTE = 9
DEADLINE_BYTE = 27
HEAD_BYTES = 27
EXTRAS_BYTES = 12
HAS_EXTRAS = 4
ORDER_BYTES = 10
NOT_PACKED = {"-" * 65}  # what keeps leases and holders from being packed lists
DECIDED_LATER = 2**52  # of a stage that ends by a decision, among those that time sweeps
_HEAD = struct.Struct(">cBxI2x6x2xI4xBB")
_EXTRAS = struct.Struct(">6xBBB3x")


async def call(store: Store, *command: Any) -> Any:
    return await store._connection.call(*command)


async def places(store: Store, queue: QueueKey) -> Sequence[QueueKey]:
    """Where the queue's tasks are: its partitions, or itself."""
    return await store._parts(queue)


async def place_of(store: Store, queue: QueueKey, task_id: str) -> QueueKey:
    """Where this task is."""
    for place in await places(store, queue):
        if await call(store, "EXISTS", keys.task(place, task_id)):
            return place
    raise AssertionError(f"there is no task {task_id} in {queue}")


async def end_leases(store: Store, queue: QueueKey, *ids: str) -> None:
    """As if the workers of these tasks (of all running ones) had been silent for longer than a lease."""
    await _bring_forward(store, queue, "leases", ids)


async def let_pass(store: Store, queue: QueueKey, seconds: float) -> None:
    """As if so much time had passed for leases and for whoever was heard."""
    for place in await places(store, queue):
        for name in ("leases", "seen"):
            times = keys.key(place, name)
            for member in await call(store, "ZRANGE", times, 0, -1):
                await call(store, "ZINCRBY", times, -1000 * seconds, member)
        await call(store, "HINCRBY", keys.key(place, "policy"), "spared_until", round(-1000 * seconds))


async def let_nobody_be_spared(store: Store, queue: QueueKey) -> None:
    """As if the time for which no lease ends, after an outage, were over."""
    for place in await places(store, queue):
        await call(store, "HSET", keys.key(place, "policy"), "spared_until", 1)


async def a_moment(store: Store) -> None:
    """Until the store's clock, which counts milliseconds, has moved on."""

    async def now() -> int:
        seconds, microseconds = await call(store, "TIME")
        return int(seconds) * 1000 + int(microseconds) // 1000

    start = await now()

    async def has_moved() -> bool:
        return await now() > start

    await eventually(has_moved, "the store's clock to move on")


async def make_retries_due(store: Store, queue: QueueKey, *ids: str) -> None:
    await _bring_forward(store, queue, "scheduled", ids)


async def _bring_forward(store: Store, queue: QueueKey, name: str, ids: Sequence[str]) -> None:
    for place in await places(store, queue):
        times = keys.key(place, name)
        known = {found.decode() for found in await call(store, "ZRANGE", times, 0, -1)} - NOT_PACKED
        for member in ids or known:
            await call(store, "ZADD", times, "XX", 1, member)


async def let_deadline_pass(store: Store, queue: QueueKey, task_id: str) -> None:
    """As if the deadline of a task that has one were long ago."""
    place = await place_of(store, queue, task_id)
    await call(store, "SETRANGE", keys.task(place, task_id), DEADLINE_BYTE, (1).to_bytes(6, "big"))
    await call(store, "ZADD", keys.key(place, "deadlines"), "XX", 1, task_id)


async def make_older(store: Store, queue: QueueKey, task_id: str, seconds: float) -> None:
    """As if the task had been submitted that much earlier."""
    place = await place_of(store, queue, task_id)
    start, name = keys.prefix(place), keys.task(place, task_id)
    stored = await call(store, "GETRANGE", name, ENQUEUED_AT_BYTE, ENQUEUED_AT_BYTE + 5)
    moved = int.from_bytes(stored, "big") - round(seconds * 1000)
    await call(store, "SETRANGE", name, ENQUEUED_AT_BYTE, moved.to_bytes(6, "big"))
    view = (await store.get(queue, [task_id]))[0]
    assert view is not None
    tenant = "" if view.tenant == DEFAULT_TENANT else view.tenant
    await call(store, "ZADD", f"{start}since:{view.model}:{int(view.priority)}", "XX", "LT", moved, tenant)


async def make_stages_old(store: Store, queue: QueueKey) -> None:
    for place in await places(store, queue):
        stages = keys.key(place, "stages")
        found = await call(store, "ZRANGE", stages, 0, -1, "WITHSCORES")
        for member, score in zip(found[::2], found[1::2], strict=True):
            await call(store, "ZADD", stages, "XX", 1 + (DECIDED_LATER if int(score) > DECIDED_LATER else 0), member)


async def key_names(store: Store, queue: QueueKey) -> set[str]:
    """Keys of the queue without their common beginning."""
    names: set[str] = set()
    for place in {queue, *await places(store, queue)}:
        names |= await _keys_in(store, place)
    return names


async def _keys_in(store: Store, place: QueueKey) -> set[str]:
    names: set[str] = set()
    cursor, more = 0, True
    while more:
        cursor, found = await store._connection.scan(place, cursor, 1000)
        names |= {name.decode().removeprefix(keys.prefix(place)) for name in found}
        more = cursor != 0
    return names


class Census:
    """What the sets say of a queue, task by task."""

    def __init__(self) -> None:
        self.state: dict[str, str] = {}
        self.lane: dict[str, str] = {}
        self.batch: dict[str, str] = {}
        self.tenant: dict[str, str] = {}
        self.session: dict[str, str] = {}
        self.staged: set[str] = set()
        self.flows: defaultdict[str, list[str]] = defaultdict(list)
        self.active: set[str] = set()
        self.sessions: dict[str, list[str]] = {}
        self.sets: dict[str, set[str]] = {}
        self.told: set[str] = set()
        self.last_events: dict[str, str] = {}
        self.lane_counts: dict[str, int] = {}
        self.tenant_counts: dict[str, int] = {}
        self.stats: dict[str, int] = {}

    def join(self, other: "Census") -> None:
        """Add what another place has, whose ids are others."""
        assert not self.state.keys() & other.state.keys(), "an id is in one place"
        for mine, theirs in (
            *((self.state, other.state), (self.lane, other.lane), (self.batch, other.batch)),
            *((self.tenant, other.tenant), (self.session, other.session), (self.sessions, other.sessions)),
        ):
            mine.update(theirs)
        self.staged |= other.staged
        self.told |= other.told
        self.last_events.update(other.last_events)
        self.active |= other.active
        for flow, ids in other.flows.items():
            self.flows[flow] += ids
        for name, members in other.sets.items():
            self.sets.setdefault(name, set()).update(members)
        for counts, more in (
            *((self.lane_counts, other.lane_counts), (self.tenant_counts, other.tenant_counts)),
            (self.stats, other.stats),
        ):
            counts.update({name: counts.get(name, 0) + number for name, number in more.items()})

    def in_state(self, letter: str) -> set[str]:
        return {name for name, state in self.state.items() if state == letter and name not in self.staged}


async def take_census(store: Store, queue: QueueKey) -> Census:
    census = Census()
    for place in await places(store, queue):
        census.join(await _census_of(store, place))
    return census


async def _census_of(store: Store, place: QueueKey) -> Census:
    census = Census()
    start = keys.prefix(place)
    names = await _keys_in(store, place)
    open_stages = {int(stage) for stage in await call(store, "ZRANGE", start + "stages", 0, -1)}
    tasks = [name[2:] for name in names if name.startswith("t:")]
    records = await call(store, "MGET", *(f"{start}t:{task_id}" for task_id in tasks)) if tasks else ()
    for task_id, record in zip(tasks, records, strict=True):
        _count_task(census, task_id, record, open_stages)
    sorted_sets, hashes = ("leases", "scheduled", "failed", "deadlines"), ("holders", "attempts", "progress")
    *members, census.lane_counts, census.tenant_counts, census.stats = await asyncio.gather(
        *(call(store, "ZRANGE", start + name, 0, -1) for name in sorted_sets),
        *(call(store, "HKEYS", start + name) for name in hashes),
        *(_numbers(store, start + name) for name in ("lanes", "tenants", "stats")),
    )
    for name, found in zip(sorted_sets + hashes, members, strict=True):
        census.sets[name] = {member.decode() for member in found} - NOT_PACKED
    await asyncio.gather(*(_count_key(census, store, start, name) for name in names))
    return census


def _count_task(census: Census, task_id: str, record: bytes, open_stages: set[int]) -> None:
    state, _, fence, stage, kind, model = _HEAD.unpack_from(record)
    lengths, at, words = (model, 0, 0, 0), HEAD_BYTES, list[str]()
    if kind & HAS_EXTRAS:
        lengths = (model, *_EXTRAS.unpack_from(record, HEAD_BYTES))
        at += EXTRAS_BYTES
    for length in lengths:
        words.append(record[at : at + length].decode())
        at += length
    census.state[task_id] = state.decode()
    census.lane[task_id] = f"{words[0]}:{kind & 3}"
    census.batch[task_id], census.tenant[task_id], census.session[task_id] = words[1:]
    if kind & HAS_EVENTS:
        census.told.add(task_id)
    if not fence and stage in open_stages:
        census.staged.add(task_id)


async def _count_key(census: Census, store: Store, start: str, name: str) -> None:
    if name.startswith("events:"):
        ((_, last),) = await call(store, "XREVRANGE", start + name, "+", "-", "COUNT", 1)
        census.last_events[name[7:]] = last[b"k"].decode()
    elif name.startswith("flow:"):
        waiting = await call(store, "LRANGE", start + name, 0, -1)
        census.flows[name[5:]] += [task_id.decode() for task_id in waiting]
    elif name.startswith("back:"):
        waiting = await call(store, "ZRANGE", start + name, 0, -1)
        census.flows[name[5:]] += [member[ORDER_BYTES:].decode() for member in waiting]
    elif name.startswith("session:"):
        waiting = await call(store, "LRANGE", start + name, 0, -1)
        census.sessions[name[8:]] = [task_id.decode() for task_id in waiting]
    elif name.startswith("active:"):
        found = await call(store, "ZRANGE", start + name, 0, -1)
        census.active |= {f"{tenant.decode()}:{name[7:]}" for tenant in found}


async def _numbers(store: Store, name: str) -> dict[str, int]:
    found = await call(store, "HGETALL", name)
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    return {field.decode(): int(value) for field, value in pairs}


async def assert_consistent(store: Store, queue: QueueKey, *, purged: Counter[str] | None = None) -> Census:
    """Every task in exactly one state, every counter equal to its set. (Before retention takes final tasks away.)

    ``purged``: how many of each batch.
    """
    purged = purged or Counter()
    whole = Census()
    for place in await places(store, queue):
        census = await _census_of(store, place)
        _assert_place(census)
        whole.join(census)
    for letter, counter in {"c": "completed", "f": "failed_total", "x": "cancelled", "e": "expired"}.items():
        again = whole.stats.get("redriven", 0) + purged.total() if letter == "f" else 0
        assert whole.stats.get(counter, 0) == len(whole.in_state(letter)) + again, counter
    assert whole.stats.get("purged", 0) == purged.total()
    assert whole.stats.get("enqueued", 0) == len(whole.state) - len(whole.staged) + purged.total()
    for name in set(whole.batch.values()) - {""}:
        await _assert_batch_counts(store, queue, whole, name, purged[name])
    return whole


def _assert_place(census: Census) -> None:
    pending = census.in_state("p")
    blocked = census.in_state("b")
    flow_of = {task_id: f"{census.tenant[task_id]}:{census.lane[task_id]}" for task_id in census.state}
    standing = Counter(
        task_id
        for flow, ids in census.flows.items()
        for task_id in ids
        if task_id in pending and flow_of[task_id] == flow
    )
    assert standing == Counter(pending), "a pending task stands in its flow, once"
    assert census.active >= {flow_of[task_id] for task_id in pending}, "a tenant with tasks takes its turns"
    _assert_sessions(census)
    assert census.sets["scheduled"] == census.in_state("s")
    assert census.sets["leases"] == census.in_state("r")
    assert census.sets["holders"] == census.in_state("r")
    assert census.sets["failed"] == census.in_state("f")
    waiting = pending | blocked | census.in_state("s")
    assert census.sets["deadlines"] <= waiting | census.in_state("r")
    assert census.sets["attempts"] <= pending | census.in_state("s") | census.in_state("r")
    assert census.sets["progress"] <= census.in_state("r")
    assert census.last_events.keys() <= census.told | (census.last_events.keys() - census.state.keys())
    for task_id in census.told - census.staged:
        ended = census.state[task_id] in "cfxe"
        assert (census.last_events.get(task_id) == "finished") == ended, "readers hear of every end"

    counted = Counter(census.lane[task_id] for task_id in pending)
    counted += Counter("=" + census.lane[task_id] for task_id in blocked)
    stored = {lane: number for lane, number in census.lane_counts.items() if lane not in "*+" and number}
    assert stored == dict(counted), "counts of lanes"
    assert census.lane_counts.get("*", 0) == len(pending | blocked), "count of all that wait"
    held = Counter(census.tenant[task_id] for task_id in waiting | census.staged)
    assert census.tenant_counts == dict(held), "counts of tenants"


def _assert_sessions(census: Census) -> None:
    """One task of a session waits or runs, all others that are not final are blocked behind it."""
    there: defaultdict[str, set[str]] = defaultdict(set)
    for state in "psrb":
        for task_id in census.in_state(state):
            there[census.session[task_id]].add(task_id)
    there.pop("", None)
    assert {name: set(ids) for name, ids in census.sessions.items()} == dict(there)
    for first, *others in census.sessions.values():
        assert census.state[first] in "psr"
        assert {census.state[task_id] for task_id in others} <= {"b"}


async def _assert_batch_counts(store: Store, queue: QueueKey, census: Census, name: str, purged: int) -> None:
    members = {task_id for task_id, batch in census.batch.items() if batch == name and task_id not in census.staged}
    counts = await store.batch(queue, name)
    found = (counts.total, counts.completed, counts.failed, counts.cancelled, counts.expired) if counts else (0,) * 5
    ended = [len(members & census.in_state(letter)) + (purged if letter == "f" else 0) for letter in "cfxe"]
    assert found == (len(members) + purged, *ended), f"batch {name}"


async def forget(store: Store, queue: QueueKey, task_id: str) -> None:
    """As if the retention of a final task had ended."""
    await call(store, "DEL", keys.task(await place_of(store, queue, task_id), task_id))
