"""Python and Lua read the same record, and names of keys come from one place."""

import re
from importlib.resources import files

import pytest

from taskfleet.core.task import Priority, QueueKey
from taskfleet.store import Store, incoming, keys, lua
from tests.store import inside
from tests.store.given import claim_one, task


@pytest.mark.parametrize(
    ("body", "metadata"),
    [
        (b'{"messages":[],"parameters":{},"metadata":{}}', {}),
        (b'{"messages":[],"parameters":{},"metadata":{"a":[1,{"b":null}]}}', {"a": [1, {"b": None}]}),
        (b'{"metadata":{"a":1},"messages":[{"content":"\\"metadata\\":{}}"}]}', {"a": 1}),
        (b'{"messages":[{"metadata":{"not":"ours"}}],"parameters":{}}', {}),
        (b'not JSON, with "metadata" in it', {}),
        (b'"metadata"', {}),
        (b"", {}),
        (b'{"metadata":' + b'{"long":"' + b"x" * 70_000 + b'"}}', {"long": "x" * 70_000}),
    ],
)
async def test_metadata_is_shown_while_a_task_waits_and_the_body_is_whole(
    store: Store, opened: QueueKey, body: bytes, metadata: dict[str, object]
) -> None:
    await store.submit(opened, [task("t", body=body)])
    (view,) = await store.get(opened, ["t"])
    assert view is not None and view.metadata == metadata
    assert (await claim_one(store, opened)).body == body


async def test_every_field_of_a_record_is_where_both_sides_look(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t", priority=Priority.LOW, model="m" * 128)], batch="b" * 255)
    (view,) = await store.get(opened, ["t"])
    assert view is not None
    assert (view.model, view.priority, view.batch) == ("m" * 128, Priority.LOW, "b" * 255)
    stats = await store.stats(opened)
    assert stats is not None and view.enqueued_at == stats.oldest_pending_at


def test_scripts_take_every_key_from_the_one_place() -> None:
    for path in (files("taskfleet.store") / "scripts").iterdir():
        text = path.read_text(encoding="utf-8")
        assert "'tf:" not in text and "KEYS[" not in text, path.name
        assert not re.search(r"P \.\. ", text), path.name
    assert {"POLICY", "LANES", "TASK_", "BATCH_", "WAKE"} <= keys.lua_names().keys()


async def test_leases_are_never_one_packed_list(store: Store, opened: QueueKey) -> None:
    await store.submit(opened, [task("t")])
    await claim_one(store, opened)
    place = await inside.place_of(store, opened, "t")
    for name, encoding in (("leases", b"skiplist"), ("holders", b"hashtable")):
        assert await inside.call(store, "OBJECT ENCODING", keys.key(place, name)) == encoding
    stats = await store.stats(opened)
    assert stats is not None and stats.running == 1, "what keeps them from it is no lease"


def test_a_script_must_say_what_it_needs() -> None:
    with pytest.raises(ValueError, match=r"lib\.lua must begin with '-- needs:"):
        _ = lua.Script("lib").text


def test_no_key_of_one_queue_is_matched_by_the_pattern_of_another() -> None:
    assert keys.pattern(QueueKey("a*", "b[c]?")) == "tf:{a\\*/b\\[c\\]\\?}:*"
    with pytest.raises(KeyError):
        keys.key(QueueKey("a", "b"), "nonsense")


def test_the_bytes_of_a_fresh_record_are_counted() -> None:
    """What a waiting task costs beside its body, its key and its place in a lane."""
    new = incoming.NewTasks(b"")
    new.add(task("t", body=b"x" * 1024, model="small"))
    blob = new.arguments()[3]
    assert isinstance(blob, bytes)
    assert len(blob) == 2 + 1 + 8 + 8 + 2 + 1 + 4 + 2 + len("small") + 1024
