"""A dataset through the queue: every row once, in order, in bounded memory, and again where it was."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from taskfleet import HandlerTask, ParallelTaskQueue
from taskfleet.core.errors import CheckpointError, DatasetError, InputError, NotFound, NotRunning
from taskfleet.core.task import QueueKey
from taskfleet.sdk.flow import LEAST_WINDOW
from taskfleet.store import Store
from tests.sdk.conftest import Make
from tests.sdk.test_queue import Gate
from tests.support.modelstub import ModelStub
from tests.support.waiting import eventually
from tests.support.workerprocess import quick_policy

ROOT = Path(__file__).parents[2]


async def echo(task: HandlerTask) -> str:
    return task.prompt


class Counting:
    """Answers and counts what it was asked; may be told to be slow on some."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    async def __call__(self, task: HandlerTask) -> str:
        self.asked[task.prompt] += 1
        # Later ones overtake earlier ones.
        await asyncio.sleep(0.01 if hash(task.prompt) % 3 else 0)
        return f"<{task.prompt}>"


async def test_results_are_in_input_order_whoever_ends_first(make: Make) -> None:
    counting = Counting()
    queue = await make(handler=counting, max_workers=20)
    rows = [{"text": str(number)} for number in range(1000)]
    results = await queue.process_dataset(rows, "stub", 50, prompt="Say {text}", parameters={"max_tokens": 3})
    assert [task.response for task in results] == [f"<Say {number}>" for number in range(1000)]
    assert set(counting.asked.values()) == {1}
    assert {task.model for task in results} == {"stub"}


ROWS: dict[str, Callable[[Path], Any]] = {
    "a list": lambda _: [{"text": "a"}, {"text": "b"}],
    "a generator": lambda _: ({"text": text} for text in "ab"),
    "an async generator": lambda _: later({"text": "a"}, {"text": "b"}),
    "JSONL": lambda folder: written(folder / "rows.jsonl", '{"text": "a"}\n\n{"text": "b"}\n'),
    "Parquet": lambda folder: as_parquet(folder / "rows.parquet", {"text": ["a", "b"]}),
    "an Arrow table": lambda _: pyarrow.table({"text": ["a", "b"]}),
    "JSONL of Windows": lambda folder: written(folder / "rows.jsonl", '\ufeff{"text": "a"}\r\n{"text": "b"}\r\n'),
    "a DataFrame of pandas": lambda _: import_module("pandas").DataFrame({"text": ["a", "b"]}),
    "a DataFrame of Polars": lambda _: import_module("polars").DataFrame({"text": ["a", "b"]}),
    "a dataset of Hugging Face": lambda _: hugging_face({"text": ["a", "b"]}),
    "a stream of Hugging Face": lambda _: hugging_face({"text": ["a", "b"]}).to_iterable_dataset(),
    "a path as text": lambda folder: str(written(folder / "rows.ndjson", '{"text": "a"}\n{"text": "b"}')),
}


def hugging_face(columns: dict[str, list[Any]]) -> Any:
    """Imported where it is used: it takes a second."""
    return import_module("datasets").Dataset.from_dict(columns)


async def later(*rows: Any) -> AsyncIterator[Any]:
    for row in rows:
        await asyncio.sleep(0)
        yield row


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def as_parquet(path: Path, columns: dict[str, list[Any]]) -> Path:
    parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize("kind", ROWS)
async def test_rows_come_from_anything_that_has_rows(kind: str, tmp_path: Path, own: ParallelTaskQueue) -> None:
    results = await own.process_dataset(ROWS[kind](tmp_path), prompt="Say {text}")
    assert [task.response for task in results] == ["Say a", "Say b"]


async def test_splits_of_a_dataset_are_no_rows(own: ParallelTaskQueue) -> None:
    splits = import_module("datasets").DatasetDict({"train": hugging_face({"text": ["a"]})})
    with pytest.raises(InputError, match="give one of its values \\('train'\\)"):
        await own.process_dataset(splits, prompt="Say {text}")


@pytest.mark.parametrize(
    ("rows", "prompt", "asked"),
    [
        (["a", "b"], None, ["a", "b"]),
        (["a", "b"], "Say {}", ["Say a", "Say b"]),
        ([1, 2], "Say {row}", ["Say 1", "Say 2"]),
        ([{"prompt": "a", "label": 1}], None, ["a"]),
        ([{"messages": [{"role": "user", "content": "a"}], "prompt": None}], None, ["a"]),
        ([{"n": 1.234}], "{n:.1f} {{}}", ["1.2 {}"]),
        ([{"x": "a"}], lambda row: row["x"] * 2, ["aa"]),
        ([{"x": "a"}], lambda row: [{"role": "user", "content": row["x"]}], ["a"]),
        ([{"x": "a"}], lambda row: {"prompt": row["x"], "metadata": {"k": 1}}, ["a"]),
        ([], "Say {}", []),
    ],
)
async def test_a_row_is_asked_by_template_by_function_or_as_it_is(
    own: ParallelTaskQueue, rows: list[Any], prompt: Any, asked: list[str]
) -> None:
    assert [task.response for task in await own.process_dataset(rows, prompt=prompt)] == asked


@pytest.fixture
def own(runner: asyncio.Runner) -> Iterator[ParallelTaskQueue]:
    """A queue in this process that answers with the prompt."""
    here = ParallelTaskQueue(handler=echo, policy={"retry": {"maxAttempts": 1}})
    runner.run(here.start())
    yield here
    runner.run(here.__aexit__(None))


async def test_a_row_that_can_be_no_task_fails_alone(own: ParallelTaskQueue) -> None:
    rows = [{"text": "a"}, {"other": 1}, {"text": "\ud800"}, {"text": "x" * 2_000_000}, {"text": "b"}]
    results = await own.process_dataset(rows, prompt="{text}")
    assert [task.status for task in results] == ["completed", "failed", "failed", "failed", "completed"]
    assert "row 1: prompt: the template names {text}, and the row has other" in str(results[1].error)
    assert "row 2: prompt: character 1 is half of a surrogate pair" in str(results[2].error)
    assert "row 3: the task is 200" in str(results[3].error)


ENDS = [ConnectionError("away"), SystemExit(3), GeneratorExit(), asyncio.CancelledError()]


@pytest.mark.parametrize("end", ENDS, ids=[type(each).__name__ for each in ENDS])
async def test_rows_that_end_in_an_error_give_the_results_before_it(make: Make, end: BaseException) -> None:
    def rows() -> Iterator[str]:
        for number in range(150):
            yield f"p{number}"
        raise end

    async def rows_that_come() -> AsyncIterator[str]:
        for row in rows():
            yield row

    queue = await make(handler=echo)
    with pytest.raises(DatasetError, match=f"row 150 cannot be read: {type(end).__name__}") as raised:
        await queue.process_dataset(rows())
    assert [task.response for task in raised.value.results] == [f"p{number}" for number in range(150)]
    seen = []
    with pytest.raises(DatasetError):
        async for task in queue.process_dataset(rows_that_come(), batch_size=7):
            seen.append(task.response)  # noqa: PERF401  what came before the error counts
    assert seen == [f"p{number}" for number in range(150)]
    bad = ROOT / "pyproject.toml"
    with pytest.raises(InputError, match="is no file that has rows"):
        await queue.process_dataset(bad)


async def test_a_line_that_is_no_json_is_named(own: ParallelTaskQueue, tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", '"a"\n{broken\n')
    with pytest.raises(DatasetError, match=r"row 1 cannot be read: ValueError: .*rows.jsonl, line 2: not JSON"):
        await own.process_dataset(path)


async def test_no_more_than_a_window_of_rows_is_read_ahead(make: Make) -> None:
    gate, read = Gate(), 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"p{read}"

    queue = await make(handler=gate, max_workers=2, policy={"leaseDuration": "1s"})
    run = asyncio.create_task(anext(aiter(queue.process_dataset(endless()))))
    await eventually(lambda: read >= LEAST_WINDOW, "the window to fill", timeout=20)
    for _ in range(50):
        await asyncio.sleep(0.005)
    assert read <= LEAST_WINDOW + 100
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await eventually_async_count(queue, "cancelled", LEAST_WINDOW)


async def eventually_async_count(queue: ParallelTaskQueue, name: str, least: int) -> None:
    async def enough() -> bool:
        stats = await queue.get_stats()
        return stats[name] >= least and stats.running == 0 and stats.pending == 0

    await eventually(enough, f"{least} tasks to be {name} and none to be left")


async def test_a_run_that_is_left_early_cancels_what_is_open(make: Make) -> None:
    queue = await make(handler=Counting(), max_workers=2, policy={"leaseDuration": "1s"})
    seen = []
    results = aiter(queue.process_dataset((f"p{number}" for number in range(100_000)), batch_size=20))
    async for task in results:
        seen.append(task.response)
        if len(seen) == 30:
            break
    await results.aclose()
    assert seen == [f"<p{number}>" for number in range(30)]
    await eventually_async_count(queue, "cancelled", 1)


async def test_results_go_to_a_file_in_order_and_the_file_appears_when_it_is_whole(
    make: Make, tmp_path: Path, model: ModelStub
) -> None:
    queue = await make([{"url": model.url, "models": ["stub"]}])
    model.set_fault("400-openai", containing="p7")
    for name in ("out.jsonl", "out.parquet"):
        output = tmp_path / "new folder" / name
        summary = await queue.process_dataset([f"p{number}" for number in range(10)], output=output)
        assert (summary.rows, summary.completed, summary["failed"]) == (10, 9, 1)
        assert (summary.input_tokens, summary.output_tokens, summary.output) == (63, 27, output)
        assert not list(output.parent.glob("*.part"))
    lines = [json.loads(line) for line in (tmp_path / "new folder/out.jsonl").read_text().splitlines()]
    rows = parquet.read_table(tmp_path / "new folder/out.parquet").to_pylist()
    for found in (lines, rows):
        assert [line["output"] for line in found] == [
            f"echo: p{number}" if number != 7 else None for number in range(10)
        ]
        assert [line["status"] for line in found].count("failed") == 1
    assert lines[7]["error"]["code"] == "bad_request"


async def test_a_checkpoint_goes_on_where_it_was(make: Make, tmp_path: Path) -> None:
    counting = Counting()
    queue = await make(handler=counting, max_workers=4, policy={"leaseDuration": "1s"})
    rows = [f"p{number}" for number in range(400)]
    seen = 0
    results = aiter(queue.process_dataset(rows, batch_size=20, checkpoint=tmp_path / "run"))
    async for _ in results:
        seen += 1
        if seen == 120:
            break
    await results.aclose()
    written = [json.loads(line) for line in (tmp_path / "run").read_text().splitlines()]
    kept = {f"p{line['row']}" for line in written if "row" in line}
    assert len(kept) >= 120
    before = counting.asked.copy()
    found = await queue.process_dataset(rows, batch_size=20, checkpoint=tmp_path / "run")
    assert [task.response for task in found] == [f"<{row}>" for row in rows]
    assert not set(counting.asked - before) & kept, "what was kept is not asked again"
    before = counting.asked.copy()
    again = await queue.process_dataset(iter(rows), checkpoint=tmp_path / "run")
    assert [task.response for task in again] == [f"<{row}>" for row in rows]
    assert counting.asked == before, "nothing was left to ask"


async def test_a_checkpoint_is_of_one_question_and_of_one_run_at_a_time(own: ParallelTaskQueue, tmp_path: Path) -> None:
    path = tmp_path / "run"
    await own.process_dataset(["a"], prompt="Say {}", checkpoint=path)
    for other in (
        {"prompt": "Sing {}"},
        {"prompt": "Say {}", "parameters": {"seed": 1}},
        {"prompt": "Say {}", "model": "x"},
    ):
        with pytest.raises(InputError, match=r"is of another call .* give another file, or remove it"):
            await own.process_dataset(["a"], checkpoint=path, **other)  # type: ignore[call-overload]
    first = aiter(own.process_dataset([f"p{number}" for number in range(3000)], prompt="Say {}", checkpoint=path))
    await anext(first)
    with pytest.raises(CheckpointError, match=r"another run uses .* wait for it, or give another file"):
        await own.process_dataset(["a"], prompt="Say {}", checkpoint=path)
    await first.aclose()


async def test_half_a_line_at_the_end_of_a_checkpoint_is_asked_again(own: ParallelTaskQueue, tmp_path: Path) -> None:
    path = tmp_path / "run"
    await own.process_dataset(["a", "b", "c"], checkpoint=path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert [task.response for task in await own.process_dataset(["a", "b", "c"], checkpoint=path)] == ["a", "b", "c"]
    assert path.read_bytes().count(b"\n") == whole.count(b"\n")


@pytest.mark.parametrize(
    "line", ['{"row":-1}', '{"row":true}', '{"row":1e3}', '{"row":0}', "[]", "7", "", "\0\0", '{"abandoned":1}']
)
async def test_a_line_that_is_of_no_checkpoint_is_named_and_nothing_is_asked(
    own: ParallelTaskQueue, tmp_path: Path, line: str
) -> None:
    path = tmp_path / "run"
    await own.process_dataset(["a"], checkpoint=path)
    written(path, f"{path.read_text().splitlines()[0]}\n{line}\n")
    before = await own.get_stats()
    with pytest.raises(InputError, match=f"^checkpoint: line 2 of {path} is not of a checkpoint; give another file"):
        await own.process_dataset(["a"], checkpoint=path)
    assert (await own.get_stats()).completed == before.completed


@pytest.fixture(params=["data", "store_url", "gateway_url"])
def home(request: pytest.FixtureRequest, tmp_path: Path, queue: QueueKey) -> dict[str, Any]:
    """Where tasks stay when their program has ended."""
    if request.param == "data":
        return {"data": tmp_path / "data"}
    return {"url": request.getfixturevalue(request.param), "queue": str(queue)}


async def test_a_queue_that_is_stopped_in_the_middle_leaves_the_rest_to_the_next_call_and_asks_nothing_twice(
    home: dict[str, Any], store: Store, queue: QueueKey, tmp_path: Path
) -> None:
    counting, rows = Counting(), [f"p{number}" for number in range(200)]
    await store.put_policy(queue, quick_policy())
    stopping: asyncio.Task[None] | None = None
    async with ParallelTaskQueue(handler=counting, max_workers=2, **home) as first:
        with pytest.raises(NotRunning, match="stopped before this task ended"):
            async for _ in first.process_dataset(rows, checkpoint=tmp_path / "run"):
                stopping = stopping or asyncio.create_task(first.stop())
    assert counting.asked.total() < len(rows), "it was in the middle"
    async with ParallelTaskQueue(handler=counting, max_workers=20, **home) as second:
        results = await second.process_dataset(rows, checkpoint=tmp_path / "run")
    assert [task.response for task in results] == [f"<{row}>" for row in rows]
    assert set(counting.asked.values()) == {1}


async def test_who_reads_on_when_the_queue_was_stopped_gets_what_is_there_and_then_hears_of_it(make: Make) -> None:
    queue = await make(handler=Counting(), max_workers=2)
    results = aiter(queue.process_dataset([f"p{number}" for number in range(2000)], batch_size=10))
    seen = [(await anext(results)).response]
    await queue.stop(timeout=0)
    with pytest.raises(NotRunning, match="stopped before this task ended"):
        async for task in results:
            seen.append(task.response)  # noqa: PERF401  what came before the error counts
    assert seen == [f"<p{number}>" for number in range(len(seen))]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
async def test_a_file_is_written_by_one_run_at_a_time(own: ParallelTaskQueue, tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    first = own.process_dataset([f"p{number}" for number in range(3000)], output=output)
    begun = first.batches()
    await anext(begun)
    with pytest.raises(DatasetError, match=f"another run writes {output} now; wait for it, or give another file"):
        await own.process_dataset(["a"], output=output)
    await begun.aclose()
    assert not list(tmp_path.iterdir()), "a run that was left leaves no half file"  # noqa: ASYNC240
    assert (await own.process_dataset(["a"], output=output)).rows == 1


FULL_DISK = """
import asyncio, resource, sys
from taskfleet import ParallelTaskQueue, TaskfleetError
async def echo(task): return task.prompt
async def main(limit):
    rows = [f"p{number} " + "x" * 200 for number in range(600)]
    async with ParallelTaskQueue(handler=echo) as queue:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            results = await queue.process_dataset(rows, checkpoint=sys.argv[1])
        except TaskfleetError as error:
            print(type(error).__name__, error)
        else:
            print([task.response for task in results] == rows)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
asyncio.run(main(int(sys.argv[2])))
"""


def test_a_disk_that_is_full_under_the_checkpoint_is_told_and_what_it_has_is_used(tmp_path: Path) -> None:
    """A limit of the file's size is to a program what a full disk is: a write that does not fit."""

    def run(limit: int) -> str:
        command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "run"), str(limit)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    said = run(60_000)
    assert said.startswith("CheckpointError checkpoint: ")
    assert "cannot be written: File too large; what it has is kept: mend that and make the same call again" in said
    kept = (tmp_path / "run").read_bytes()
    assert kept.endswith(b"\n"), "no half line"
    assert 0 < kept.count(b'"row"') < 600
    assert run(10_000_000) == "True\n"
    assert (tmp_path / "run").read_bytes().startswith(kept)


async def test_a_queue_of_our_own_keeps_no_result_that_was_handed_out() -> None:
    async with ParallelTaskQueue(handler=echo) as queue:
        results = await queue.process_dataset([{"prompt": str(number)} for number in range(700)])
        with pytest.raises(NotFound):
            await queue.get_task(results[0].id)
        with pytest.raises(NotFound):
            await queue.get_task(results[-1].id)
        async for result in queue.process_dataset([{"prompt": str(number)} for number in range(30)]):
            last = result
            if result.response == "3":
                break
    assert last.response == "3"
