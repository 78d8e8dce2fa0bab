"""Whatever a program gives: a typed error that names what is wrong and the fix, nothing lost, nothing hung."""

import asyncio
import math
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from taskfleet import HandlerTask, ParallelTaskQueue, TaskfleetError
from taskfleet.core.errors import (
    AlreadyRunning,
    GatewayUnreachable,
    InputError,
    NoModelServer,
    NotFound,
    NotRunning,
    UnknownModel,
)
from tests.sdk.conftest import Make
from tests.support.modelstub import ModelStub

ITSELF: dict[str, Any] = {}
ITSELF["again"] = ITSELF
WRONG_URL = "http://127.0.0.1:9/v1"
CLUSTERS = {"url": WRONG_URL, "models": ["m"], "apiKeySecretRef": {"name": "llm", "key": "token"}}
CIRCLE = {"models": [{"name": "handler", "fallbacks": ["b"]}, {"name": "b", "fallbacks": ["handler"]}]}
LIMITED = {"url": WRONG_URL, "models": ["m"], "name": "slow", "rateLimit": {"requestsPerMinute": 6}}


class Measured(float):
    """As NumPy's numbers are: a float to Python, and none to who writes JSON."""


class Pair(NamedTuple):
    first: str
    second: str


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("it cannot be read")


async def echo(task: HandlerTask) -> str:
    return task.prompt


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_workers": 0}, "max_workers: 0 is not a number of calls at once; give a whole number from 1"),
        ({"max_workers": -3}, "max_workers: -3"),
        ({"max_workers": 2.5}, "max_workers: 2.5"),
        ({"max_workers": True}, "max_workers: True"),
        ({"max_workers": "10"}, "max_workers: '10'"),
        ({"strategy": "quickest"}, "strategy: 'quickest' is none of least_loaded, round_robin, weighted, fastest"),
        ({"url": "valkey://localhost"}, 'queue: with a url it must be named; write queue="namespace/name"'),
        ({"url": "http://gateway:8420"}, 'queue: with a url it must be named; write queue="namespace/name"'),
        (
            {"url": "http://me:secret@gateway", "queue": "a/b"},
            "url: it holds a user or a password; .*as api_key",
        ),
        (
            {"url": "http://gateway:port", "queue": "a/b"},
            "url: 'http://gateway:port' is not a URL: .*write http://HOST",
        ),
        ({"url": "http://", "queue": "a/b"}, "url: 'http://' is not the address of a gateway"),
        ({"url": "http://gateway", "queue": "a/b", "api_key": "key\n"}, "api_key: it has spaces, line ends or other"),
        ({"queue": "demo"}, "queue: 'demo' is not a queue; write namespace/name"),
        ({"url": "valkey://h", "queue": "a/b", "data": "x"}, "data: it belongs to a queue in this process"),
        ({"url": "valkey://h", "queue": "a/b", "policy": {"a": 1}}, "policy: it belongs to a queue in this process"),
        ({"handler": "not a function"}, "handler: 'not a function' is not a function"),
        ({"handler": echo, "instances": [WRONG_URL]}, "both instances and a handler are given"),
        ({"instances": 5}, "instances: 5 is no list; give the URLs of model servers"),
        ({"url": 7, "queue": "a/b"}, "url: 7 is not a string"),
        ({"url": "http://h", "queue": "a/b", "api_key": 7}, "api_key: 7 is not a string"),
        ({"data": 7}, "data: 7 is not a path; give a string or a pathlib.Path"),
        ({"policy": "fast"}, "policy: 'fast' is not a dict"),
    ],
)
def test_a_queue_that_cannot_be_is_refused_before_anything_starts(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        ParallelTaskQueue(**options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"instances": []}, InputError, "instances: it is empty; leave it out to look on this machine"),
        (
            {"instances": ["localhost:8000"]},
            InputError,
            r"instances\[0\]: 'localhost:8000' is not a URL; write http://",
        ),
        ({"instances": [7]}, InputError, r"instances\[0\]: 7 is no instance"),
        ({"instances": [WRONG_URL]}, NoModelServer, r"instances\[0\]: .*connection refused; start it, or say what"),
        ({"instances": [{"url": WRONG_URL, "models": "m"}]}, InputError, r"instances\[0\]\.models"),
        ({"instances": [{"url": WRONG_URL, "models": ["m"], "speed": 1}]}, InputError, r"instances\[0\]\.speed"),
        ({"instances": [{"models": ["m"]}]}, InputError, r"instances\[0\]: .*either url, .* set one"),
        (
            {"instances": [{"url": "http://h:99999", "models": ["m"]}]},
            InputError,
            r"instances\[0\]\.url: .*port from 1",
        ),
        (
            {"instances": [{"url": "http://me:key@h", "models": ["m"]}]},
            InputError,
            "must not contain a user",
        ),
        ({"instances": [{"url": WRONG_URL, "models": ["m"], "name": "My GPU"}]}, InputError, r"instances\[0\]\.name: "),
        ({"instances": [CLUSTERS]}, InputError, r"instances\[0\].apiKeySecretRef: it is for a cluster; .* as api_key"),
        ({"instances": [LIMITED], "strategy": "cheapest"}, InputError, "^strategy: .*Cheapest needs costPerMillionTok"),
        ({"handler": echo, "policy": {"taskTimeout": "soon"}}, InputError, r"policy\.taskTimeout"),
        (
            {"handler": echo, "policy": {"retry": {"attempts": 3}}},
            InputError,
            r"policy\.retry\.attempts: there is no such field, only maxAttempts, initialDelay, maxDelay, multiplier",
        ),
        (
            {"handler": echo, "policy": {"tenants": {"a": {"weigth": 3}}, "models": [{"alias": "x", "name": "y"}]}},
            InputError,
            r"models\[0\]\.alias: there is no such field, only name.*policy\.tenants\.a\.weigth: .*only weight",
        ),
        (
            {"instances": [{"url": WRONG_URL, "models": ["m"], "rateLimit": {"rpm": 6}}]},
            InputError,
            r"instances\[0\]\.rateLimit\.rpm: there is no such field, only requestsPerMinute, tokensPerMinute",
        ),
        ({"handler": echo, "policy": {"taskTimeout": "0s"}}, InputError, r"policy\.taskTimeout: .* from 100ms to 24h"),
        ({"handler": echo, "policy": {"taskTimeout": -1}}, InputError, r"policy\.taskTimeout"),
        ({"handler": echo, "policy": {"leaseDuration": "0s"}}, InputError, r"policy\.leaseDuration: .* from 1s to 1h"),
        ({"handler": echo, "policy": CIRCLE}, InputError, r"policy\.models: .*must not go in a circle.*; remove one"),
        ({"handler": echo, "policy": {"models": [{"name": "x"}]}}, InputError, "no instance serves the model 'x'"),
        ({"handler": echo, "policy": {"online": "Auto"}}, InputError, "policy.online: it is Auto for a gateway, and a"),
        ({"url": "valkey://127.0.0.1:1", "queue": "a/b"}, TaskfleetError, "cannot be reached"),
        ({"url": "ftp://host", "queue": "a/b"}, InputError, "store URL: the scheme must be one of"),
        (
            {"url": "http://127.0.0.1:9", "queue": "a/b"},
            GatewayUnreachable,
            "the gateway at http://127.0.0.1:9 cannot be used: .*refused the connection; start it",
        ),
        (
            {"url": "http://127.0.0.1:9", "queue": "a/b", "instances": [LIMITED]},
            InputError,
            "instances: slow has a rateLimit, .*leave it out, or give the URL of the store",
        ),
    ],
)
async def test_a_start_that_cannot_work_says_why_and_leaves_nothing(
    options: dict[str, Any], error: type[Exception], words: str
) -> None:
    before = asyncio.all_tasks()
    queue = ParallelTaskQueue(**options)
    with pytest.raises(error, match=words):
        await queue.start()
    assert asyncio.all_tasks() == before
    with pytest.raises(NotRunning):
        await queue.stop()


async def test_a_queue_that_is_not_there_is_named(url: str) -> None:
    with pytest.raises(NotFound, match=r"nobody/has-it .*; apply its TaskQueue"):
        await ParallelTaskQueue(url=url, queue="nobody/has-it").start()


TASKS: list[tuple[Any, dict[str, Any], str]] = [
    ("", {}, "prompt: it is empty"),
    ("  \n", {}, "prompt: it is empty"),
    (None, {}, "prompt: a NoneType is no prompt"),
    (b"bytes", {}, "prompt: a bytes is no prompt"),
    (42, {}, "prompt: a int is no prompt"),
    ([], {}, "messages: it is empty"),
    ([{"role": "wizard", "content": "x"}], {}, r"messages\[0\].role"),
    ([{"role": "user", "content": {1, 2}}], {}, r"messages\[0\].content: a set cannot be written as JSON"),
    ([{"role": "user", "content": "half \ud83d"}], {}, r"content: character 6 is half of a surrogate pair"),
    (
        "half \udc00 here",
        {},
        "prompt: character 6 is half of a surrogate pair .* read the text with the right encoding",
    ),
    ({"prompt": "x", "colour": "red"}, {}, "colour: unknown field"),
    ({"prompt": "x", "messages": []}, {}, "both prompt and messages"),
    ("x", {"parameters": {"temperature": math.nan}}, "parameters.temperature: nan is not a number in JSON"),
    ("x", {"parameters": {"temperature": -math.inf}}, "parameters.temperature: -inf is not a number"),
    ("x", {"parameters": {"seed": 2**70}}, "parameters.seed: .* more than 64 bits"),
    ("x", {"parameters": {1: 2}}, "parameters: the key 1 is not a string"),
    ("x", {"parameters": {"stop": object()}}, "parameters.stop: a object cannot be written as JSON"),
    ("x", {"parameters": {"stream": True}}, "parameters.stream"),
    ("x", {"metadata": ITSELF}, "nested more than 100 deep"),
    ("x", {"metadata": {"when": datetime(2026, 1, 1)}}, "metadata.when: a datetime cannot be written"),  # noqa: DTZ001
    ("x", {"priority": "urgent"}, "priority: 'urgent' is none of critical, high, normal, low"),
    ("x", {"priority": 9}, "priority: 9 is none of"),
    ("x", {"delay": -1}, "delay: -1 is not a delay"),
    ("x", {"delay": math.nan}, "delay: nan is not a delay"),
    ("x", {"deadline": datetime(2099, 1, 1)}, "deadline: .* not a moment; give a datetime with its zone"),  # noqa: DTZ001
    ("x", {"deadline": datetime.now().astimezone() - timedelta(days=1)}, "deadline: .* has passed"),
    ("x", {"temperature": 0}, r"temperature: there is no such option.*parameters=\{...\}"),
    ("x", {"task_id": ""}, "task_id: it is empty"),
    ("x", {"metadata": "text"}, "metadata: 'text' is not a dict"),
    ("x", {"parameters": [1]}, r"parameters: \[1\] is not a dict"),
    ("x", {"metadata": {"score": [Measured(1.5)]}}, r"metadata.score\[0\]: a Measured cannot be written as JSON"),
    (
        "x",
        {"parameters": {"stop": Pair("a", "b")}},
        "parameters.stop: a Pair cannot be written as JSON; give text, num",
    ),
    ("x", {"metadata": {"inner": MappingProxyType({})}}, "metadata.inner: a mappingproxy cannot be written as JSON"),
    ("x", {"metadata": {"half \ud800": 1}}, "metadata: character 6 is half of a surrogate pair"),
    ("x", {"model": 5}, "model: 5 is not a string"),
    ("x", {"model": ""}, "model: it is empty; leave it out"),
    ("x", {"tenant": "a b"}, "tenant: .*is not a name"),
    ("x", {"session": "talk", "delay": 1}, "session: its tasks run in the order in which they come"),
    ("x", {"idempotency_key": "k", "task_id": "t"}, "both id and idempotency_key are given"),
    ("x", {"task_id": "with space"}, "id: .* is not an id"),
    ("x" * 50_000_000, {}, r"the task is 500000\d\d bytes .* takes at most 1048576 .*shorten it or raise that limit"),
]


@pytest.mark.parametrize(("prompt", "options", "words"), TASKS, ids=[f"{number}" for number in range(len(TASKS))])
async def test_a_task_that_cannot_be_is_refused_and_nothing_of_it_is_kept(
    refusing: ParallelTaskQueue, prompt: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        await refusing.submit(prompt, **options)
    if "task_id" not in options:
        with pytest.raises(InputError, match=words):
            await refusing.submit_batch(["good", prompt], **options)
    assert (await refusing.get_stats()).submitted == 0


@pytest.mark.parametrize("timeout", [-1, -0.5, math.nan, "10", True])
async def test_a_time_that_is_none_is_refused_wherever_one_waits(
    refusing: ParallelTaskQueue,
    timeout: Any,  # noqa: ASYNC109
) -> None:
    task_id = await refusing.submit("x", delay=100)
    for wait in (
        lambda: refusing.wait_for_task(task_id, timeout),
        lambda: refusing.wait_for_batch([task_id], timeout),
        lambda: refusing.join(timeout),
        lambda: refusing.stop(timeout),
    ):
        with pytest.raises(InputError, match=r"timeout: .* is not a time to wait; give seconds from 0 on, or None"):
            await wait()
    assert await refusing.get_status(task_id) == "pending", "it was not stopped either"


@pytest.mark.parametrize("task_id", ["", None, 7, "\ud800"])
async def test_an_id_that_is_none_is_refused_wherever_one_is_asked_for(
    refusing: ParallelTaskQueue, task_id: Any
) -> None:
    for ask in (refusing.wait_for_task, refusing.get_task, refusing.get_status, refusing.cancel):
        with pytest.raises(InputError, match=r"task_id: .*(give the id that submit returned|half of a surrogate)"):
            await ask(task_id)
    with pytest.raises(InputError, match="task_id"):
        await refusing.wait_for_batch([task_id])


async def test_a_model_that_is_not_offered_is_refused_with_those_that_are(model: ModelStub) -> None:
    async with ParallelTaskQueue([model.url]) as queue:
        with pytest.raises(UnknownModel, match="'gpt-9' is not offered by this queue; it offers: stub"):
            await queue.submit("x", model="gpt-9")


async def test_a_string_is_not_taken_for_a_batch_of_letters(refusing: ParallelTaskQueue) -> None:
    with pytest.raises(InputError, match="prompts: one prompt is given; put it in a list"):
        await refusing.submit_batch("hello")
    with pytest.raises(InputError, match="batch: it is empty"):
        await refusing.wait_for_batch("")
    for no_list in (None, 7, b"bytes"):
        with pytest.raises(InputError, match=r"prompts: .* is no list; give a list of prompts"):
            await refusing.submit_batch(no_list)  # type: ignore[arg-type]
        with pytest.raises(InputError, match=r"batch: .* is no list; give what submit_batch returned"):
            await refusing.wait_for_batch(no_list)  # type: ignore[arg-type]
    for no_name in ("", 7, "\ud800"):
        with pytest.raises(InputError, match=r"^batch: "):
            await refusing.submit_batch(["x"], batch=no_name)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="limit: -1 is not a number of failures"):
        await refusing.errors(-1)


async def test_prompts_that_raise_midway_leave_nothing_in_the_queue(refusing: ParallelTaskQueue) -> None:
    with pytest.raises(ZeroDivisionError):
        await refusing.submit_batch(f"p{1 // (3 - number)}" for number in range(10))
    assert (await refusing.get_stats()).submitted == 0


async def test_a_queue_that_is_not_started_or_was_stopped_says_so_for_every_call() -> None:
    queue = ParallelTaskQueue(handler=echo)
    calls: list[Callable[[], Any]] = [
        lambda: queue.submit("x"),
        lambda: queue.submit_batch(["x"]),
        lambda: queue.wait_for_task("x"),
        lambda: queue.wait_for_batch(["x"]),
        lambda: queue.get_task("x"),
        lambda: queue.get_status("x"),
        lambda: queue.cancel("x"),
        queue.cancel_all,
        queue.join,
        queue.get_stats,
        queue.errors,
        queue.models,
        lambda: queue.process_dataset(["x"]),
    ]
    for _ in range(2):
        for call in calls:
            with pytest.raises(NotRunning, match=r"not started; `await queue.start\(\)` first, or use `async with`"):
                await call()
        with pytest.raises(NotRunning, match="not started, or was stopped already; there is nothing to stop"):
            await queue.stop()
        await queue.start()
        with pytest.raises(AlreadyRunning, match="started already; use it, or stop it before the next start"):
            await queue.start()
        assert (await queue.wait_for_task(await queue.submit("x"))).response == "x"
        await queue.stop()


async def test_a_result_that_json_cannot_say_fails_its_task_and_no_other(make: Make) -> None:
    async def odd(task: HandlerTask) -> Any:
        return ODD[task.prompt]

    queue = await make(handler=odd)
    *none, fine = await queue.wait_for_batch(await queue.submit_batch([*ODD]))
    assert fine.response == "yes"
    assert {task.status for task in none} == {"failed"}
    assert "the handler's result: a set cannot be written as JSON" in str(none[0].error)
    assert {task.attempts for task in none} == {1}, "trying again would not help"


async def test_a_large_result_is_kept_whole_and_of_a_large_error_its_beginning(make: Make) -> None:
    async def large(task: HandlerTask) -> str:
        if task.prompt == "error":
            raise ValueError("e" * 80_000_000)
        return "r" * 20_000_000

    queue = await make(handler=large, policy={"retry": {"maxAttempts": 1}})
    result, error = await queue.wait_for_batch(await queue.submit_batch(["result", "error"]), timeout=60)
    assert len(result.response) == 20_000_000
    assert str(error.error) == f"ValueError: {'e' * 10_000}"


ODD = {
    "set": {1},
    "huge": "\0" * 6_000_000,
    "nan": math.nan,
    "half": "\ud800",
    "float": Measured(1),
    "pair": Pair("a", "b"),
    "fine": "yes",
}
WILD: dict[str, tuple[BaseException, str]] = {
    "exit": (SystemExit(3), "SystemExit: 3"),
    "ctrl-c": (KeyboardInterrupt(), "KeyboardInterrupt"),
    "cancelled": (asyncio.CancelledError(), "CancelledError"),
    "generator": (GeneratorExit(), "GeneratorExit"),
    "iteration": (StopIteration(1), "RuntimeError: coroutine raised StopIteration"),
    "half": (OSError("no such file: 'caf\udce9'"), r"OSError: no such file: 'caf\udce9'"),
    "unreadable": (Unreadable(), "Unreadable"),
}


@pytest.mark.parametrize("form", ["coroutine", "plain"])
async def test_a_handler_that_raises_anything_at_all_fails_its_task_and_ends_nothing(make: Make, form: str) -> None:
    def wild(task: HandlerTask) -> str:
        if task.prompt in WILD:
            raise WILD[task.prompt][0]
        return "fine"

    async def wild_coroutine(task: HandlerTask) -> str:
        return wild(task)

    queue = await make(handler=wild if form == "plain" else wild_coroutine, max_workers=2)
    *failed, fine = await queue.wait_for_batch(await queue.submit_batch([*WILD, "fine"]), timeout=20)
    assert fine.response == "fine", "whatever went before"
    assert [(task.status, str(task.error)) for task in failed] == [("failed", words) for _, words in WILD.values()]


async def test_a_handler_that_takes_too_long_is_stopped_at_the_time_limit(make: Make) -> None:
    stopped = asyncio.Event()

    async def slow(task: HandlerTask) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            stopped.set()

    queue = await make(handler=slow, policy={"taskTimeout": "200ms", "retry": {"maxAttempts": 1}})
    task = await queue.wait_for_task(await queue.submit("x"), timeout=20)
    assert (task.status, str(task.error)) == ("failed", "the handler did not end within 0.2 s")
    assert stopped.is_set()


@pytest.mark.parametrize("raised", [RuntimeError("broken"), SystemExit(3), asyncio.CancelledError(), GeneratorExit()])
async def test_a_callback_that_raises_is_logged_and_stops_nothing(
    make: Make, caplog: pytest.LogCaptureFixture, raised: BaseException
) -> None:
    def broken(_news: object) -> None:
        raise raised

    queue = await make(handler=echo)
    queue.on_progress(broken)
    results = await queue.wait_for_batch(await queue.submit_batch(["a", "b"]), timeout=20)
    assert [task.status for task in results] == ["completed", "completed"]
    assert "on_progress" in caplog.text
    with pytest.raises(InputError, match="on_progress: None is not a function"):
        queue.on_progress(None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("dataset", "options", "words"),
    [
        (7, {}, "dataset: a int has no rows"),
        (b"text", {}, "dataset: a bytes has no rows"),
        ({"train": [], "test": []}, {}, "dataset: a dict has no rows; give one of its values .'train', 'test'"),
        ("no-such-kind.txt", {}, "is no file that has rows; give a .jsonl, .ndjson or .parquet"),
        ("no-such-file.jsonl", {}, "no-such-file.jsonl cannot be read: No such file"),
        (["x"], {"prompt": ""}, "prompt: it is empty"),
        (["x"], {"prompt": 7}, "prompt: 7 is neither a template nor a function"),
        (["x"], {"prompt": "{text}"}, r"no row can be asked; row 0: prompt: the template names \{text\}"),
        ([{"a": 1, "b": 2}], {"prompt": "{c}"}, r"the template names \{c\}, and the row has a, b"),
        ([{"a": 1}], {"prompt": '{"a": 1}'}, "write {{ and }} for braces that are text"),
        ([{"a": 1}], {}, "the row has no column prompt or messages, only a"),
        ([{"a": 1}], {"prompt": lambda row: row["b"]}, "the function failed on this row: KeyError: 'b'"),
        (["x"], {"prompt": lambda _row: sys.exit(3)}, "row 0: prompt: the function failed on this row: SystemExit: 3"),
        (["x"], {"prompt": "{1}"}, r"the template cannot be filled \(Replacement index 1 out of range .*\); write {{"),
        (["x"], {"batch_size": 0}, "batch_size: 0 is not a number of rows"),
        (["x"], {"prompt": echo}, "prompt: it is an async function; give a plain one"),
        (["x"], {"checkpoint": 5}, "checkpoint: 5 is not a path"),
        (["x"], {"output": "same.jsonl", "checkpoint": "./same.jsonl"}, "is the checkpoint as well; give another file"),
        ("rows.jsonl", {"output": "rows.jsonl"}, "output: rows.jsonl is the dataset as well; give another file"),
        (["x"], {"output": "out.csv"}, "output: 'out.csv' is no file for results"),
        (["x"], {"output": "/proc/no/such.jsonl"}, "output: /proc/no/such.jsonl cannot be written"),
        (["x"], {"checkpoint": "/proc/no/such"}, "checkpoint: /proc/no/such cannot be opened"),
        (["x"], {"checkpoint": __file__}, "is not of a checkpoint; give another file"),
        (["x"], {"workers": 3}, "workers: there is no such option, only prompt, parameters, checkpoint, progress"),
    ],
)
async def test_a_dataset_that_cannot_be_run_says_why_and_asks_nothing(
    refusing: ParallelTaskQueue, dataset: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TaskfleetError, match=words):
        await refusing.process_dataset(dataset, **options)
    assert (await refusing.get_stats()).submitted == 0
    assert __doc__ in Path(__file__).read_text(), "a file that is no checkpoint is left alone"  # noqa: ASYNC240
