"""A coordinator may die, be stopped, or be taken over at any moment: the next one goes on, and repeats nothing."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import InputError, TakenOver
from taskfleet.core.parallel.rules import ItemStatus, RunState
from taskfleet.core.task import TaskState
from taskfleet.parallel.coordinator import Coordinator
from tests.parallel.conftest import KEPT, Ask, Bench
from tests.support.programs import started
from tests.support.waiting import eventually, wait_until

START_SECONDS = 60.0  # a busy machine needs long to start a program
PROGRAM = str(Path(sys.executable).with_name("taskfleet"))


def three_steps(ask: Ask) -> list[dict[str, str]]:
    return [{"name": name, "action": ask(f"{name} {{{{ $item }}}}")} for name in ("a", "b", "c")]


def test_after_sigkill_in_mid_run_the_same_command_goes_on_and_no_step_runs_twice(
    bench: Bench, ask: Ask, store_url: str, runner: asyncio.Runner
) -> None:
    (bench.folder / "items.jsonl").write_text("".join(f"{number}\n" for number in range(60)))
    pipeline = bench.spec(on="items.jsonl", max_parallel=6, action_loop=three_steps(ask))
    command = [PROGRAM, "parallel", "run", str(pipeline.file), "-q", str(bench.queue)]
    bench.stub.latency = 0.05
    try:
        with started(
            command, env=os.environ | {"TASKFLEET_STORE_URL": store_url}, stderr=subprocess.DEVNULL
        ) as process:
            wait_until(lambda: len(bench.all_calls()) > 40, "the first calls", timeout=START_SECONDS)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
    finally:
        bench.stub.latency = 0.0
    assert len(bench.all_calls()) < 180, "it was killed before its end"

    async def go_on() -> None:
        assert await bench.state() is RunState.RUNNING
        driver = await bench.driver(pipeline)
        assert 0 < driver.record.tally.done < 60
        await driver.run(KEPT)
        lines = await bench.lines()
        assert [line["index"] for line in lines] == list(range(60))
        assert {line["status"] for line in lines} == {"completed"}

    bench.name = f"{bench.word}.one"
    runner.run(go_on())
    assert len(bench.all_calls()) == 180
    assert set(bench.all_calls().values()) == {1}, "no step ran twice"


async def test_coordinators_that_are_cancelled_again_and_again_bring_the_run_to_its_end(bench: Bench, ask: Ask) -> None:
    pipeline = bench.spec(on="{{ range(40) }}", max_parallel=10, action_loop=three_steps(ask))
    record = await bench.run_cut_off(pipeline, 15, 40, 70)
    assert record.tally.items[ItemStatus.COMPLETED] == 40
    assert [line["index"] for line in await bench.lines()] == list(range(40))
    assert set(bench.all_calls().values()) == {1}
    assert len(bench.all_calls()) == 120


async def test_whoever_takes_a_run_over_drives_it_and_the_other_one_ends(bench: Bench, ask: Ask) -> None:
    bench.stub.hold()
    try:
        pipeline = bench.spec(on="{{ range(20) }}", max_parallel=5, action_loop=three_steps(ask))
        first = asyncio.create_task((await bench.driver(pipeline)).run(KEPT))
        await eventually(lambda: len(bench.all_calls()) == 5, "five calls")
        await eventually(bench_has_record(bench), "the run to be written down")
        second = await bench.driver(pipeline)
        taking = asyncio.create_task(second.run(KEPT))
        with pytest.raises(TakenOver):
            await first
    finally:
        bench.stub.let_go()
    await taking
    assert second.record.tally.items[ItemStatus.COMPLETED] == 20
    assert set(bench.all_calls().values()) == {1}


def bench_has_record(bench: Bench):
    async def there() -> bool:
        return "spec" in await bench.store.runs.fields(bench.queue, bench.name)

    return there


def bench_has_done(bench: Bench, number: int):
    async def done() -> bool:
        fields = await bench.store.runs.fields(bench.queue, bench.name)
        return sum(fields.get("tally", {"items": {}})["items"].values()) == number

    return done


async def test_a_run_that_is_cancelled_keeps_its_results_and_ends_what_runs(bench: Bench, ask: Ask) -> None:
    with bench.failing(ask("a 3"), kind="hang"):
        pipeline = bench.spec(on="{{ range(5) }}", max_parallel=2, action_loop=three_steps(ask))
        running = asyncio.create_task((await bench.driver(pipeline)).run(KEPT))
        await eventually(bench_has_done(bench, 4), "all but the one that hangs")
        coordinator = await Coordinator.open(bench.store, bench.queue)
        cancelling = await coordinator.cancel(bench.name)
        await cancelling.run(KEPT)
        with pytest.raises(TakenOver):
            await running
    assert await bench.state() is RunState.CANCELLED
    assert [line["status"] for line in await bench.lines()] == [*["completed"] * 3, "cancelled", "completed"]
    with pytest.raises(InputError, match="has ended already: it is cancelled"):
        await coordinator.cancel(bench.name)


async def test_whoever_cancels_need_not_know_what_the_words_were_made_from(bench: Bench, ask: Ask) -> None:
    """Of a queue that uses what an earlier one came to, the record has not that."""
    with bench.failing(ask("with 7"), kind="hang"):
        step = {"name": "a", "action": ask("with {{ before.completed }}")}
        pipeline = bench.spec(on=["x"], action_loop=[step])
        running = asyncio.create_task((await bench.driver(pipeline, {"before": {"completed": 7}})).run(KEPT))
        await eventually(bench_has_record(bench), "the run to be written down")
        await eventually(lambda: bench.calls("with 7"), "the call")
        cancelling = await (await Coordinator.open(bench.store, bench.queue)).cancel(bench.name)
        await cancelling.run(KEPT)
        with pytest.raises(TakenOver):
            await running
    (line,) = await bench.lines()
    assert (line["status"], line["error"]) == ("cancelled", "it was cancelled")
    (view,) = await bench.store.get(bench.queue, [f"{cancelling.record.nonce}-0-0-0-0"])
    assert view is not None
    assert view.state is TaskState.CANCELLED


async def test_a_run_of_another_file_and_items_that_changed_are_not_gone_on_with(bench: Bench, ask: Ask) -> None:
    items = bench.folder / "items.txt"
    items.write_text("a\nb\n")
    with bench.failing(ask("a a"), kind="hang"):
        pipeline = bench.spec(on="items.txt", max_parallel=1, action_loop=three_steps(ask))
        driver = await bench.driver(pipeline)
        running = asyncio.create_task(driver.run(KEPT))
        await eventually(lambda: bench.calls("a a"), "the first call")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await to_its_end(driver.leave())
    items.write_text("a\nb\nc\n")
    with pytest.raises(InputError, match="is not the file with which"):
        await bench.driver(pipeline)
    with pytest.raises(InputError, match="another file, or with other inputs"):
        await bench.driver(bench.spec(on="items.txt", max_parallel=3, action_loop=three_steps(ask)))
    coordinator = await Coordinator.open(bench.store, bench.queue)
    await (await coordinator.cancel(bench.name)).run(KEPT)


async def test_a_run_that_is_nearly_done_goes_on_where_it_was_and_reads_nothing_again(bench: Bench, ask: Ask) -> None:
    """The place in the file is a byte: what lies before it may be anything by then, were it not for its size."""
    (bench.folder / "items.jsonl").write_text("".join(f'"{number:06}"\n' for number in range(600)))
    pipeline = bench.spec(on="items.jsonl", max_parallel=40, action_loop=three_steps(ask)[:1])
    driver = await bench.driver(pipeline)
    running = asyncio.create_task(driver.run(KEPT))
    await eventually(lambda: len(bench.all_calls()) > 100, "100 calls")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await to_its_end(driver.leave())
    record = await bench.record()
    byte, line = record.cursor
    assert (byte, line) == (9 * record.taken, record.taken)
    assert record.taken - record.tally.done <= 40
    again = await bench.driver(pipeline)
    await again.run(KEPT)
    assert again.record.tally.items[ItemStatus.COMPLETED] == 600
    assert set(bench.all_calls().values()) == {1}
