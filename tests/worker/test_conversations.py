"""A session as a conversation: each call brings along what was said before, whichever worker makes it."""

import signal
from typing import Any

import orjson
import pytest

from taskfleet.core.task import NewTask
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import MODEL, worker_process

CONVERSATION = {"context": "Conversation", "maxContextTokens": 1000}


def turn(text: str, session: str = "chat", **message: Any) -> NewTask:
    body = {"messages": [{"role": "user", "content": text, **message}], "parameters": {}}
    return NewTask(text, MODEL, orjson.dumps(body), session=session)


def sent(model: ModelStub, text: str) -> list[str]:
    """The texts of all messages of the last call that ends with this one."""
    calls = [request["body"]["messages"] for request in model.requests if "messages" in request["body"]]
    return [message["content"] for message in next(each for each in reversed(calls) if each[-1]["content"] == text)]


async def test_each_call_brings_along_what_was_said_before(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(sessions=CONVERSATION)
    await work.store.submit(work.queue, [turn("a"), turn("b"), turn("x", "other"), turn("c")])
    with worker_process(store_url, work.queue, model.url):
        views = await work.finished(["a", "b", "c", "x"])
    answers = {view.id: view.output for view in views}
    assert sent(model, "b") == ["a", answers["a"], "b"]
    assert sent(model, "c") == ["a", answers["a"], "b", answers["b"], "c"]
    assert sent(model, "x") == ["x"]


async def test_calls_that_are_no_chat_neither_bring_along_nor_leave_anything(
    work: Work, model: ModelStub, store_url: str
) -> None:
    await work.open(sessions=CONVERSATION)
    body = {"messages": [], "parameters": {"prompt": "complete"}, "operation": "completions"}
    text = NewTask("text", MODEL, orjson.dumps(body), session="chat")
    await work.store.submit(work.queue, [turn("a"), text, turn("b")])
    with worker_process(store_url, work.queue, model.url):
        a, done, _ = await work.finished(["a", "text", "b"])
    assert done.output["choices"][0]["text"]
    assert sent(model, "b") == ["a", a.output, "b"]


async def test_without_context_sessions_only_keep_their_order(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open()
    await work.store.submit(work.queue, [turn("a"), turn("b")])
    with worker_process(store_url, work.queue, model.url):
        await work.finished(["a", "b"])
    assert sent(model, "b") == ["b"]
    assert [request["body"]["messages"][0]["content"] for request in model.requests] == ["a", "b"]


async def test_what_no_longer_fits_is_forgotten_and_not_kept(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(sessions={"context": "Conversation", "maxContextTokens": 40})
    names = [f"{number}-" + "w" * 40 for number in range(6)]
    await work.store.submit(work.queue, [turn(name) for name in names])
    with worker_process(store_url, work.queue, model.url):
        await work.finished(names)
    assert len(sent(model, names[-1])) == 3, "one turn fits"
    assert len(await work.store.turns(work.queue, "chat")) == 2


@pytest.mark.parametrize("partitions", [1, 4])
async def test_a_new_worker_takes_over_the_conversation_of_a_killed_one(
    work: Work, model: ModelStub, store_url: str, partitions: int
) -> None:
    await work.open(sessions=CONVERSATION, leaseDuration="1s", partitions=partitions)
    await work.store.submit(work.queue, [turn("a"), turn("b"), turn("c")])
    with worker_process(store_url, work.queue, model.url) as first:
        (a,) = await work.finished(["a"])
        model.hold()
        await eventually(lambda: model.calls["b"] or model.calls["c"], "the next call to run")
        first.signal(signal.SIGKILL)
        model.let_go()
        with worker_process(store_url, work.queue, model.url):
            b, _ = await work.finished(["b", "c"])
    assert sent(model, "b") == ["a", a.output, "b"]
    assert sent(model, "c") == ["a", a.output, "b", b.output, "c"]


async def test_a_turn_that_failed_is_no_part_of_the_conversation(work: Work, model: ModelStub, store_url: str) -> None:
    await work.open(sessions=CONVERSATION)
    model.set_fault("422", containing="bad")
    await work.store.submit(work.queue, [turn("a"), turn("bad"), turn("c")])
    with worker_process(store_url, work.queue, model.url):
        a, bad, _ = await work.finished(["a", "bad", "c"])
    assert bad.error is not None
    assert sent(model, "c") == ["a", a.output, "c"]
