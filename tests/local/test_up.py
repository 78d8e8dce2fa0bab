"""`taskfleet up` as a whole: real store, real worker processes, a stub in place of the model."""

import json
import os
import re
import signal
import stat
import time
from pathlib import Path

import pytest
import valkey
from tests.support.laptop import QUEUE, Laptop
from tests.support.modelstub import ModelStub
from tests.support.waiting import wait_until

from taskfleet.core.settlement import BatchCounts
from taskfleet.core.task import NewTask, TaskView
from taskfleet.store import Store

LEASE_SECONDS = 2.0


def submit(machine: Laptop, count: int, *, batch: str = "b") -> None:
    body = '{"messages": [{"role": "user", "content": "%s p%d"}], "parameters": {}, "metadata": {}}'
    tasks = [NewTask(f"{batch}-{n}", "small", (body % (batch, n)).encode()) for n in range(count)]
    assert machine.ask(lambda store: store.submit(QUEUE, tasks, batch=batch)) == count


def counts(machine: Laptop, batch: str = "b") -> BatchCounts:
    found = machine.ask(lambda store: store.batch(QUEUE, batch))
    assert found is not None
    return found


def wait_until_done(machine: Laptop, batch: str = "b", *, timeout: float = 25.0) -> BatchCounts:
    def finished() -> BatchCounts | None:
        now = counts(machine, batch)
        return None if now.open else now

    return wait_until(finished, f"batch {batch} to be done; up said: {machine.output}", timeout=timeout)


def assert_completed_exactly_once(machine: Laptop, count: int, batch: str = "b") -> None:
    async def results(store: Store) -> list[TaskView]:
        return [view async for view in store.batch_tasks(QUEUE, batch)]

    views = machine.ask(results)
    assert [view.id for view in views] == [f"{batch}-{n}" for n in range(count)]
    assert [view.output for view in views] == [f"echo: {batch} p{n}" for n in range(count)]
    stats = machine.ask(lambda store: store.stats(QUEUE))
    assert stats is not None
    assert (stats.completed, stats.pending, stats.running) == (count, 0, 0)


def test_workers_come_with_the_tasks_and_go_after_them(ready: Laptop, stub_model: ModelStub) -> None:
    stub_model.latency = 0.05
    ready.start()
    assert ready.workers() == []
    submit(ready, 20)
    wait_until(lambda: len(ready.workers()) == 2, "two workers")
    wait_until_done(ready)
    wait_until(lambda: ready.workers() == [], "no worker")
    assert_completed_exactly_once(ready, 20)
    assert sum(stub_model.calls.values()) == 20
    assert stub_model.max_inflight <= 4, "two workers with two calls each"
    assert ready.stop() == 130
    assert ready.descendants() == {}
    assert "demo: 0 pending, 0 running, 20 done, 0 failed" in ready.output
    assert "stopped; no tasks are open" in ready.output
    assert "Traceback" not in ready.output


def test_until_empty_waits_for_the_first_task_and_ends_after_the_last(ready: Laptop) -> None:
    ready.start("--until-empty")
    submit(ready, 3)
    assert ready.wait() == 0
    assert not (ready.data / "up.json").exists()
    ready.launch("--until-empty")
    assert ready.wait() == 0, "nothing is left from the last time"


def test_until_empty_tells_of_failed_tasks_by_its_exit_code(ready: Laptop, stub_model: ModelStub) -> None:
    stub_model.set_fault("400-openai")
    ready.start("--until-empty")
    submit(ready, 2)
    assert ready.wait() == 1


def test_a_killed_worker_is_replaced_and_its_tasks_run_again(ready: Laptop, stub_model: ModelStub) -> None:
    ready.start()
    stub_model.hold()
    submit(ready, 12)
    wait_until(lambda: stub_model.inflight == 4, "both workers to be busy")
    victim = ready.workers()[0]
    os.kill(victim, signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: len(ready.workers()) == 2 and victim not in ready.workers(), "a new worker")
    stub_model.let_go()
    wait_until_done(ready)
    assert time.monotonic() - killed_at < LEASE_SECONDS + 2.0 + 1.0
    assert_completed_exactly_once(ready, 12)
    assert sum(stub_model.answered.values()) <= 12 + 2, "only what the killed worker had in hand ran twice"
    assert "signal SIGKILL" in ready.output


def test_killed_up_leaves_no_process_and_loses_no_task(ready: Laptop, stub_model: ModelStub) -> None:
    ready.start()
    stub_model.hold()
    submit(ready, 10)
    wait_until(lambda: stub_model.inflight == 4, "both workers to be busy")
    assert len(ready.descendants()) == 3
    ready.signal(signal.SIGKILL)
    ready.wait()
    done = ready.run("stats", "demo")
    assert done.returncode in (11, 17), "the store ends with its `up`"
    wait_until(lambda: ready.descendants() == {}, "workers and store to end with `up`")
    done = ready.run("stats", "demo")
    assert done.returncode == 17
    assert b"has ended" in done.stderr
    stub_model.let_go()
    ready.start()
    wait_until_done(ready)
    assert_completed_exactly_once(ready, 10)


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


def test_sigterm_stops_it_too(ready: Laptop) -> None:
    ready.start()
    ready.signal(signal.SIGTERM)
    assert ready.wait() == 143
    assert ready.descendants() == {}


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


def test_a_second_up_on_the_folder_is_told_of_the_first(ready: Laptop) -> None:
    ready.start()
    first = ready.process
    assert first is not None
    done = ready.run("up", "-f", str(ready.manifests))
    assert done.returncode == 16
    assert f"process {first.pid}" in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert ready.run("stats", "demo").returncode == 0, "the first one goes on"


def test_up_json_is_for_its_owner_only_and_the_password_is_in_no_command_line(ready: Laptop) -> None:
    ready.start()
    assert stat.S_IMODE((ready.data / "up.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(ready.data.stat().st_mode) == 0o700
    password = re.search(r":([^:@]+)@127\.0\.0\.1:", ready.up_file["store_url"])
    assert password is not None
    submit(ready, 1)
    wait_until_done(ready)
    assert not any(password[1] in command for command in ready.descendants().values())
    assert password[1] not in ready.output
    for log in (ready.data / "logs").iterdir():
        assert password[1] not in log.read_text()
    assert ready.up_file == {
        "pid": ready.process.pid if ready.process else 0,
        "store_url": ready.up_file["store_url"],
        "namespace": "default",
        "queues": ["default/demo"],
    }


def test_an_edited_manifest_is_taken_over_and_a_wrong_edit_is_reported(ready: Laptop) -> None:
    ready.start()
    queue = ready.manifests / "queue.yaml"
    good = queue.read_text()
    queue.write_text(good.replace("spec:", "spec:\n  nonsense: 1"))
    wait_until(lambda: "the edited manifests are not used" in ready.output, "the report of a wrong edit")
    assert "queue.yaml:" in ready.output
    submit(ready, 1)
    queue.write_text(good.replace("aliases: [fast]", "aliases: [quick]"))
    wait_until(lambda: "took over the edited manifests" in ready.output, "the right edit")
    assert ready.run("submit", "demo", "x", "--model", "quick").returncode == 0
    assert ready.run("submit", "demo", "x", "--model", "fast").returncode == 2
    assert ready.run("up", "-f", str(ready.manifests)).returncode == 16


def test_a_second_queue_appears_and_goes_with_its_file(ready: Laptop) -> None:
    ready.start()
    second = ready.manifests / "second.yaml"
    second.write_text((ready.manifests / "queue.yaml").read_text().replace("name: demo", "name: second"))
    wait_until(lambda: "default/second" in ready.up_file["queues"], "the second queue")
    assert ready.run("submit", "second", "x", "--id", "t-1").returncode == 0
    assert ready.run("status", "t-1").stdout.startswith(b"task t-1 in default/second: pending")
    second.unlink()
    wait_until(lambda: ready.up_file["queues"] == ["default/demo"], "the second queue to go")
    assert "its tasks stay in the data folder" in ready.output


def test_a_changed_endpoint_gets_new_workers(ready: Laptop, stub_model: ModelStub) -> None:
    ready.write(stub_model.url, down="60s")
    ready.start()
    submit(ready, 2)
    wait_until_done(ready)
    before = set(ready.workers())
    assert before
    ready.write(stub_model.url, down="60s", concurrency=3)
    wait_until(lambda: ready.workers() and not before.intersection(ready.workers()), "new workers in place of the old")
    submit(ready, 2, batch="c")
    wait_until_done(ready, "c")


def test_a_pool_that_leaves_the_manifests_takes_its_workers_along(ready: Laptop, stub_model: ModelStub) -> None:
    ready.write(stub_model.url, down="60s")
    ready.start()
    submit(ready, 2)
    wait_until_done(ready)
    assert ready.workers()
    (ready.manifests / "pool.yaml").unlink()
    wait_until(lambda: ready.workers() == [], "the workers to go")


def test_json_output_is_one_object_a_line(ready: Laptop) -> None:
    ready.start("--until-empty", "-o", "json")
    submit(ready, 2)
    assert ready.wait() == 0
    lines = [json.loads(line) for line in ready.output.splitlines()]
    assert all("event" in line or "snapshot" in line for line in lines)
    last = [line["snapshot"] for line in lines if "snapshot" in line][-1]
    assert last["queues"][0]["completed"] == 2
    assert last["queues"][0]["queue"] == "default/demo"


def test_api_keys_come_from_the_environment_and_reach_the_endpoint(ready: Laptop, stub_model: ModelStub) -> None:
    stub_model.api_key = "s3cret"
    pool = ready.manifests / "pool.yaml"
    pool.write_text(
        pool.read_text().replace("models: [small]", "models: [small], apiKeySecretRef: {name: my-llm, key: token}")
    )
    refused = ready.run("up", "-f", str(ready.manifests))
    assert refused.returncode == 2
    assert "TASKFLEET_SECRET_MY_LLM_TOKEN" in refused.stderr.decode()
    ready.environment["TASKFLEET_SECRET_MY_LLM_TOKEN"] = "s3cret"
    ready.start("--until-empty")
    submit(ready, 1)
    assert ready.wait() == 0, ready.output


def test_a_manifest_error_is_said_with_file_and_line(ready: Laptop) -> None:
    queue = ready.manifests / "queue.yaml"
    queue.write_text(queue.read_text().replace("leaseDuration: 2s", "leaseDuration: soon"))
    done = ready.run("up", "-f", str(ready.manifests))
    assert done.returncode == 2
    assert re.search(r"queue\.yaml:\d+: .*leaseDuration", done.stderr.decode())
    assert not ready.data.exists(), "nothing was started"


@pytest.mark.parametrize("content", ["", "kind: Nonsense\n"])
def test_manifests_without_a_queue_are_refused(ready: Laptop, content: str, tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"
    file.write_text(content)
    assert ready.run("up", "-f", str(file)).returncode == 2
    assert ready.run("up", "-f", str(tmp_path / "missing")).returncode == 2


def test_a_data_folder_that_cannot_be_used_is_a_sentence(ready: Laptop) -> None:
    ready.data.write_text("a file in the way")
    done = ready.run("up", "-f", str(ready.manifests))
    assert done.returncode == 10
    assert len(done.stderr.splitlines()) == 1
    assert "cannot use the data folder" in done.stderr.decode()


def test_data_of_another_schema_is_refused_and_left_as_it_is(ready: Laptop) -> None:
    ready.start()
    with valkey.Valkey.from_url(ready.up_file["store_url"]) as client:
        assert client.set("tf:schema", "999")
    assert ready.stop() == 130
    done = ready.run("up", "-f", str(ready.manifests))
    assert done.returncode == 15
    assert len(done.stderr.splitlines()) == 1
    assert "999" in done.stderr.decode()
    assert ready.descendants() == {}


def test_a_damaged_data_file_is_the_servers_own_sentence(ready: Laptop) -> None:
    ready.start()
    submit(ready, 50)
    wait_until_done(ready)
    assert ready.stop() == 130
    (log,) = (ready.data / "valkey" / "appendonlydir").glob("*.incr.aof")
    content = bytearray(log.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = b"\0" * 200
    log.write_bytes(content)
    done = ready.run("up", "-f", str(ready.manifests))
    assert done.returncode == 10
    assert "the store does not start" in done.stderr.decode()
    assert "Bad file format" in done.stderr.decode()
