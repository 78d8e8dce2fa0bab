"""`taskfleet up` as a whole: real store, real worker processes, a stub in place of the model."""

import functools
import json
import os
import re
import shlex
import signal
import stat
import subprocess

import pytest

from taskfleet.core.task import NewTask, TaskView
from taskfleet.store import Store
from tests.support import waiting
from tests.support.laptop import PROGRAM, QUEUE, Laptop
from tests.support.modelstub import ModelStub
from tests.support.programs import started

# Several processes start for each thing awaited here, on machines that are busy with other tests.
PATIENCE = 40.0
wait_until = functools.partial(waiting.wait_until, timeout=PATIENCE)


def submit(machine: Laptop, count: int, *, batch: str = "b") -> None:
    body = '{"messages": [{"role": "user", "content": "%s p%d"}], "parameters": {}, "metadata": {}}'
    tasks = [NewTask(f"{batch}-{n}", "small", (body % (batch, n)).encode()) for n in range(count)]
    assert machine.ask(lambda store: store.submit(QUEUE, tasks, batch=batch)) == count


def wait_until_done(machine: Laptop, batch: str = "b") -> None:
    async def done(store: Store) -> None:
        async def finished() -> bool:
            counts = await store.batch(QUEUE, batch)
            return counts is not None and not counts.open

        await waiting.eventually(finished, f"batch {batch} to be done; up said: {machine.output}", timeout=PATIENCE)

    machine.ask(done)


def wait_for_two_workers(machine: Laptop) -> None:
    async def both(store: Store) -> None:
        async def alive() -> bool:
            return len(await store.workers(QUEUE)) == 2

        await waiting.eventually(alive, "both workers to be alive", timeout=PATIENCE)

    machine.ask(both)


def assert_completed_exactly_once(machine: Laptop, count: int, *, others: int = 0) -> None:
    async def results(store: Store) -> list[TaskView]:
        return [view async for view in store.batch_tasks(QUEUE, "b")]

    views = machine.ask(results)
    assert [view.id for view in views] == [f"b-{n}" for n in range(count)]
    assert [view.output for view in views] == [f"echo: b p{n}" for n in range(count)]
    stats = machine.ask(lambda store: store.stats(QUEUE))
    assert stats is not None
    assert (stats.completed, stats.pending, stats.running) == (count + others, 0, 0)


def test_workers_come_with_the_tasks_and_go_after_them(ready: Laptop, stub_model: ModelStub) -> None:
    stub_model.latency = 0.05
    ready.start()
    assert ready.workers() == []
    submit(ready, 20)
    ready.wait_for_workers(2)
    wait_until_done(ready)
    ready.wait_for_workers(0)
    assert_completed_exactly_once(ready, 20)
    assert sum(stub_model.calls.values()) == 20
    assert stub_model.max_inflight <= 4, "two workers with two calls each"
    assert ready.stop() == 130
    assert ready.descendants() == {}
    assert "demo: 0 pending, 0 running, 20 done, 0 failed" in ready.output
    assert "stopped; no tasks are open" in ready.output
    assert "go on with: taskfleet up -f " in ready.output and "--data " in ready.output
    assert "Traceback" not in ready.output


def test_a_queue_over_partitions_is_served_as_any_other(ready: Laptop, stub_model: ModelStub) -> None:
    stub_model.latency = 0.05
    ready.write(stub_model.url, partitions=4)
    ready.start()
    submit(ready, 20)
    ready.wait_for_workers(2)
    wait_until_done(ready)
    assert_completed_exactly_once(ready, 20)
    assert sum(stub_model.calls.values()) == 20
    ready.wait_for_workers(0)
    shown = json.loads(ready.run("stats", "demo", "-o", "json").stdout)
    assert shown["completed"] == 20
    assert ready.stop() == 130
    assert "demo: 0 pending, 0 running, 20 done, 0 failed" in ready.output
    ready.write(stub_model.url, partitions=2)
    ready.launch()
    assert ready.wait() == 10
    assert "spec.partitions: queue default/demo has 4 in this store, and was given 2; it cannot change" in ready.output
    assert "Traceback" not in ready.output


def test_until_empty_tells_of_failed_tasks_by_its_exit_code(ready: Laptop, stub_model: ModelStub) -> None:
    stub_model.set_fault("400-openai")
    ready.start("--until-empty")
    submit(ready, 2)
    assert ready.wait() == 1


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_killed_worker_is_replaced_and_its_tasks_run_again(
    ready: Laptop, stub_model: ModelStub, partitions: int
) -> None:
    # Either worker could hold all four tasks.
    ready.write(stub_model.url, minimum=2, concurrency=4, partitions=partitions)
    ready.start()
    wait_for_two_workers(ready)
    stub_model.hold()
    submit(ready, 4)
    wait_until(lambda: stub_model.inflight == 4, "all tasks to run")
    views = ready.ask(lambda store: store.get(QUEUE, [f"b-{n}" for n in range(4)]))
    holders = [view.worker for view in views if view is not None]
    name = holders[0]
    assert name is not None
    os.kill(ready.worker(name), signal.SIGKILL)
    lost = holders.count(name)
    wait_until(lambda: sum(stub_model.calls.values()) == 4 + lost, "the lost tasks to run again")
    ready.wait_for_workers(2)
    stub_model.let_go()
    wait_until_done(ready)
    assert_completed_exactly_once(ready, 4)
    assert sum(stub_model.calls.values()) == 4 + lost, "only what the killed worker had in hand ran twice"
    assert f"worker {name} ended (signal SIGKILL)" in ready.output


def test_killed_up_leaves_no_process_and_loses_no_task(ready: Laptop, stub_model: ModelStub) -> None:
    ready.start()
    stub_model.hold()
    submit(ready, 10)
    wait_until(lambda: stub_model.inflight == 4, "both workers to be busy")
    assert len(ready.descendants()) == 3
    command = [PROGRAM, "submit", "demo", "-", "--batch", "waiting", "--wait", "--data", str(ready.data)]
    with started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as waiter:
        assert waiter.stderr is not None
        assert b"submitted 1 task" in waiter.stderr.readline()
        ready.signal(signal.SIGKILL)
        ready.wait()
        _, complaint = waiter.communicate(timeout=PATIENCE)
    assert waiter.returncode == 17, "no use to wait for a store that has ended"
    assert b"has ended; start it with" in complaint
    done = ready.run("stats", "demo")
    assert done.returncode in (11, 17), "the store ends with its `up`"
    wait_until(lambda: ready.descendants() == {}, "workers and store to end with `up`")
    done = ready.run("stats", "demo")
    assert done.returncode == 17
    assert b"has ended" in done.stderr
    stub_model.let_go()
    ready.start()
    wait_until_done(ready)
    wait_until_done(ready, "waiting")
    assert_completed_exactly_once(ready, 10, others=1)


def test_ctrl_c_lets_running_tasks_finish_and_the_next_start_goes_on(ready: Laptop, stub_model: ModelStub) -> None:
    ready.start()
    stub_model.hold()
    submit(ready, 10)
    wait_until(lambda: stub_model.inflight == 4, "both workers to be busy")
    ready.signal(signal.SIGINT)
    wait_until(lambda: "once more ends them at once" in ready.output, "`up` to say that it stops")
    assert ready.run("submit", "demo", "late").returncode == 17, "it takes no more commands"
    stub_model.let_go()
    assert ready.wait() == 130
    assert "6 open tasks are kept" in ready.output
    assert sum(stub_model.answered.values()) == 4
    ready.start()
    wait_until_done(ready)
    assert_completed_exactly_once(ready, 10)
    assert sum(stub_model.answered.values()) == 10, "nothing ran twice"


def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(ready: Laptop, stub_model: ModelStub) -> None:
    ready.start()
    stub_model.hold()
    submit(ready, 4)
    wait_until(lambda: stub_model.inflight == 4, "both workers to be busy")
    ready.signal(signal.SIGINT)
    wait_until(lambda: "once more ends them at once" in ready.output, "`up` to say that it stops")
    ready.signal(signal.SIGINT)
    assert ready.wait() == 130
    assert ready.descendants() == {}
    stub_model.let_go()
    ready.start()
    wait_until_done(ready)
    assert_completed_exactly_once(ready, 4)


def test_a_killed_store_comes_back_on_its_port_with_its_data(ready: Laptop, stub_model: ModelStub) -> None:
    ready.start()
    url = ready.up_file["store_url"]
    stub_model.hold()
    submit(ready, 10)
    wait_until(lambda: stub_model.inflight == 4, "both workers to be busy")
    old = ready.server()
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: "the store serves again" in ready.output, "the store to come back")
    assert ready.up_file["store_url"] == url
    assert ready.server() != old
    stub_model.let_go()
    wait_until_done(ready)
    assert_completed_exactly_once(ready, 10)
    assert "the store ended (signal SIGKILL)" in ready.output


def test_until_empty_waits_for_the_first_task_and_ends_after_the_last(ready: Laptop, stub_model: ModelStub) -> None:
    stub_model.api_key = "s3cret"
    pool = ready.manifests / "pool.yaml"
    key = "apiKeySecretRef: {name: my-llm, key: token}"
    pool.write_text(pool.read_text().replace("models: [small]", f"models: [small], {key}"))
    ready.environment["TASKFLEET_SECRET_MY_LLM_TOKEN"] = "s3cret"
    ready.start("--until-empty", "-o", "json")
    wait_until(lambda: "snapshot" in ready.output, "a first look at the queue, which is empty")
    submit(ready, 3)
    assert ready.wait() == 0, ready.output
    assert not (ready.data / "up.json").exists()
    lines = [json.loads(line) for line in ready.output.splitlines()]
    assert all("event" in line or "snapshot" in line for line in lines)
    last = [line["snapshot"] for line in lines if "snapshot" in line][-1]
    assert (last["queues"][0]["queue"], last["queues"][0]["completed"]) == ("default/demo", 3)
    ready.launch("--until-empty")
    assert ready.wait() == 0, "nothing is left from the last time"


def test_up_json_is_for_its_owner_only_and_a_second_up_is_told_of_the_first(ready: Laptop) -> None:
    ready.start()
    process = ready.process
    assert process is not None
    assert ready.up_file == {
        "pid": process.pid,
        "store_url": ready.up_file["store_url"],
        "status_url": ready.up_file["status_url"],
        "gateway_url": ready.up_file["gateway_url"],
        "namespace": "default",
        "queues": ["default/demo"],
    }
    assert stat.S_IMODE((ready.data / "up.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(ready.data.stat().st_mode) == 0o700
    password = re.search(r":([^:@]+)@127\.0\.0\.1:", ready.up_file["store_url"])
    assert password is not None
    submit(ready, 1)
    wait_until_done(ready)
    assert not any(password[1] in command for command in ready.descendants().values())
    assert password[1] not in ready.output
    assert not any(password[1] in log.read_text() for log in (ready.data / "logs").iterdir())

    done = ready.run("up", "-f", str(ready.manifests))
    assert done.returncode == 16
    assert f"process {process.pid}" in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert ready.run("stats", "demo").returncode == 0, "the first one goes on"
    ready.signal(signal.SIGTERM)
    assert ready.wait() == 143
    assert ready.descendants() == {}


def test_edited_manifests_are_taken_over_and_wrong_ones_are_reported(ready: Laptop) -> None:
    ready.start()
    queue = ready.manifests / "queue.yaml"
    good = queue.read_text().replace("aliases: [fast]", "aliases: [swift]")
    queue.write_text(good.replace("spec:", "spec:\n  nonsense: 1"))
    wait_until(lambda: "the edited manifests are not used" in ready.output, "the report of a wrong edit")
    assert re.search(r"queue\.yaml:\d+: .*nonsense", ready.output)
    submit(ready, 1)
    queue.write_text(good.replace("aliases: [swift]", "aliases: [quick]"))
    wait_until(lambda: "took over the edited manifests" in ready.output, "the right edit")
    done = ready.run("submit", "demo", "x", "--model", "quick")
    assert done.returncode == 0, done.stderr
    look = shlex.split(done.stdout.decode().splitlines()[1])
    assert look[-2:] == ["--data", str(ready.data)], "a folder with a space in its name"
    assert ready.run("submit", "demo", "x", "--model", "swift").returncode == 2

    second = ready.manifests / "second.yaml"
    second.write_text(good.replace("name: demo", "name: second"))
    wait_until(lambda: "default/second" in ready.up_file["queues"], "the second queue")
    assert ready.run("submit", "second", "x", "--id", "t-1").returncode == 0
    assert ready.run("status", "t-1").stdout.startswith(b"task t-1 in default/second: pending")
    second.unlink()
    wait_until(lambda: ready.up_file["queues"] == ["default/demo"], "the second queue to go")
    assert "its tasks stay in the data folder" in ready.output


def test_a_changed_endpoint_gets_new_workers_and_a_pool_that_goes_takes_them_along(
    ready: Laptop, stub_model: ModelStub
) -> None:
    ready.write(stub_model.url, down="60s", workers=1)
    ready.start()
    submit(ready, 2)
    wait_until_done(ready)
    before = set(ready.workers())
    assert len(before) == 1
    ready.write(stub_model.url, down="60s", workers=1, concurrency=3)
    wait_until(lambda: ready.workers() and not before.intersection(ready.workers()), "a new worker in place of the old")
    submit(ready, 2, batch="c")
    wait_until_done(ready, "c")
    (ready.manifests / "pool.yaml").unlink()
    ready.wait_for_workers(0)
