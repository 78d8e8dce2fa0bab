"""ParallelQueues under a real controller: run, shown, gone on with after a SIGKILL, cancelled, refused in words."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from taskfleet.cli.main import run
from taskfleet.controller.parallelruns.ownrun import SHOW_SECONDS
from taskfleet.core.names import FINALIZER
from taskfleet.core.parallel.rules import RunState
from taskfleet.core.task import QueueKey
from taskfleet.parallel.record import Record
from tests.apiserver.site import Site
from tests.apiserver.test_resting import writes_in
from tests.support.modelstub import ModelStub
from tests.support.workerprocess import worker_process

KIND = "ParallelQueue"
SAMPLES = Path(__file__).parents[2] / "manifests" / "samples" / "parallel"
RUN_PATIENCE = 60.0  # workers and controllers start beside many others on a small machine


@contextmanager
def served(site: Site, stub: ModelStub, slots: int = 8) -> Iterator[None]:
    """The TaskQueue of the site, and a worker for it."""
    site.apply(site.queue(retry={"maxAttempts": 1}))
    with worker_process(site.store_url, QueueKey(site.namespace, "demo"), stub.url, concurrency=slots):
        yield


def status(site: Site, name: str) -> dict[str, Any]:
    return (site.get(KIND, name) or {}).get("status") or {}


def in_phase(site: Site, name: str, phase: str) -> dict[str, Any]:
    """Its status, once it is there."""
    said = f"{name} to be {phase}"
    site.until(lambda: status(site, name).get("phase") == phase, said, timeout=RUN_PATIENCE)
    return status(site, name)


def stands_still(site: Site, name: str, reason: str) -> str:
    """The sentence of its Ready condition, once that has this reason."""
    said = f"{name} to stand still for {reason}"
    site.until(lambda: site.condition(KIND, "Ready", name).get("reason") == reason, said, timeout=RUN_PATIENCE)
    return str(site.condition(KIND, "Ready", name)["message"])


def record(site: Site, name: str) -> Record | None:
    key = QueueKey(site.namespace, "demo")
    return Record.from_fields(site.in_store(lambda store: store.runs.fields(key, name)))


def lines(site: Site, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """What `taskfleet parallel results` prints of it, as in the controller's pod."""
    monkeypatch.setenv("TASKFLEET_STORE_URL", site.store_url)
    run(["parallel", "results", name, "-q", f"{site.namespace}/demo"])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_they_are_run_one_after_the_other_on_what_config_maps_hold_and_show_what_came_of_it(
    site: Site, stub_model: ModelStub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    site.start_controller()
    source = {"inputsFrom": {"rows": {"configMap": {"name": "sources", "key": "rows.csv"}}}}
    ask = site.parallel("ask", "{{ rows }}", "ask {{ $item.name }}", "check {{ a }}", maxParallel=3, **source)
    ask["spec"]["actionLoop"][1]["if"] = "{{ $item.name != 'three' }}"
    after = {"inputsFrom": {"ask": {"parallelQueue": {"name": "ask"}}}}
    site.apply(site.parallel("sum-up", "{{ ask.outputs }}", "sum up {{ $index }}", **after), ask)

    assert "there is no queue" in stands_still(site, "ask", "QueueNotFound")
    with served(site, stub_model):
        assert "create it" in stands_still(site, "ask", "InputNotFound")
        assert "waits until it has completed" in stands_still(site, "sum-up", "InputNotReady")
        site.apply(site.config_map("sources", **{"rows.csv": "name\none\ntwo\nthree\nfour\n"}))
        shown = in_phase(site, "ask", "Completed")
        assert in_phase(site, "sum-up", "Completed")["total"] == 4

        counts = {name: shown[name] for name in ("progress", "total", "open", "completed", "failed", "cancelled")}
        assert counts == {"progress": "4/4", "total": 4, "open": 0, "completed": 4, "failed": 0, "cancelled": 0}
        assert [(step["name"], step["ok"], step["skipped"]) for step in shown["steps"]] == [("a", 4, 0), ("b", 3, 1)]
        assert shown["startTime"] <= shown["endTime"]
        ready, ended = (site.condition(KIND, wanted, "ask") for wanted in ("Ready", "Ended"))
        assert (ready["status"], ready["reason"], ended["status"]) == ("True", "Completed", "True")
        assert ready["message"] == "4 items: 4 completed"
        row = site.server.kubectl("get", "pq", "ask", "-n", site.namespace, check=True).stdout.splitlines()[1].split()
        assert row[:6] == ["ask", "demo", "Completed", "4/4", "0", "0"]
        assert {"QueueNotFound", "InputNotFound", "Started", "Completed"} <= site.reasons()

        found = lines(site, "ask", monkeypatch, capsys)
        assert [line["item"] for line in found] == [{"name": name} for name in ("one", "two", "three", "four")]
        assert set(stub_model.calls.values()) == {1}
        site.until(lambda: not site.get(KIND, "ask")["metadata"].get("finalizers"), "the finalizer to go")

        again = dict(ask, spec={**ask["spec"], "maxParallel": 1})
        site.server.kubectl("delete", "pq", "ask", "-n", site.namespace, check=True)
        site.apply(again)
        assert in_phase(site, "ask", "Completed")["completed"] == 4
        assert stub_model.calls["ask one"] == 2, "a new object of the same name is a new run"
        with pytest.raises(AssertionError, match="spec cannot change once the run has begun"):
            site.apply(dict(ask, spec={**ask["spec"], "maxParallel": 2}))


def test_what_cannot_be_run_says_why_in_its_condition_and_runs_once_it_is_put_right(
    site: Site, stub_model: ModelStub
) -> None:
    site.start_controller()
    with served(site, stub_model):
        site.apply(
            site.parallel("file", "countries.csv", "ask {{ $item }}"),
            site.parallel("number", 5, "ask {{ $item }}"),
            site.parallel("text", "{{ inputs }}", "ask {{ $itm }}"),
            site.parallel("few", "{{ 3 }}", "ask {{ $item }}"),
            site.parallel("unknown", ["x"], "ask {{ $item }}", model="gpt"),
        )
        assert stands_still(site, "file", "ItemsNotSupported").startswith("spec.items: countries.csv is a file")
        assert "spec.items: Value error, must be a list" in stands_still(site, "number", "InvalidSpec")
        said = stands_still(site, "text", "InvalidSpec")
        assert "spec.items: inputs is not known here" in said
        assert "spec.actionLoop[0].action: $itm is not known here" in said
        assert stands_still(site, "few", "InvalidSpec").startswith("spec.items: it is no list but int")
        assert stands_still(site, "unknown", "InvalidSpec").startswith("spec.actionLoop[0]: ")
        assert not stub_model.calls

        stub_model.set_fault("400-openai", containing="ask two")
        for name in ("file", "text", "few"):
            site.apply(site.parallel(name, [name, "two"], "ask {{ $item }}"))
        shown = [in_phase(site, name, "Completed") for name in ("file", "text", "few")]
        stub_model.clear_faults()
        for sample in ("cluster.yaml", "rounds.yaml"):
            site.server.kubectl("apply", "-n", site.namespace, "-f", str(SAMPLES / sample), check=True)
        ended = ["wait", "--for=condition=Ended", "pq/capitals", "pq/summary", "pq/rounds", "--timeout=60s"]
        site.server.kubectl(*ended, "-n", site.namespace, check=True)
    assert [status(site, name)["phase"] for name in ("capitals", "summary", "rounds")] == ["Completed"] * 3
    (asked,) = (prompt for prompt in stub_model.calls if prompt.startswith("Sum up in one sentence"))
    assert all(
        f"- {country}: echo: What is the capital of {country}" in asked for country in ("France", "Japan", "Kenya")
    )
    assert [each["failed"] for each in shown] == [1, 1, 1]
    assert shown[0]["causes"][0]["items"] == 1
    assert "1 failed" in site.condition(KIND, "Ended", "file")["message"]


def test_after_a_sigkill_the_next_controller_goes_on_and_no_step_runs_twice(site: Site, stub_model: ModelStub) -> None:
    began, first = time.monotonic(), site.start_controller()
    stub_model.latency = 0.1
    with served(site, stub_model, slots=20):
        site.apply(site.parallel("work", "{{ range(60) }}", "a {{ $item }}", "b {{ $item }}", maxParallel=4))
        in_phase(site, "work", "Running")
        site.until(lambda: len(stub_model.calls) > 30, "the first calls", timeout=RUN_PATIENCE)
        first.stop(signal.SIGKILL)
        assert status(site, "work")["phase"] == "Running"
        site.start_controller()
        shown = in_phase(site, "work", "Completed")
    assert (shown["progress"], shown["completed"]) == ("60/60", 60)
    assert len(stub_model.calls) == 120
    assert set(stub_model.calls.values()) == {1}
    assert stub_model.max_inflight <= 4
    assert "GoesOn" in site.reasons()
    written = [each for each in writes_in(site) if each["objectRef"]["resource"] == "parallelqueues"]
    shown_at_most = (time.monotonic() - began) / SHOW_SECONDS
    assert len(written) <= 12 + shown_at_most, "begun, gone on with and ended, and now and then"


def test_deleting_one_cancels_its_run_at_once_and_keeps_the_results_so_far(
    site: Site, stub_model: ModelStub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    controller = site.start_controller()
    stub_model.set_fault("hang", containing="stays")
    with served(site, stub_model):
        for name in ("one", "two"):
            site.apply(
                site.parallel(name, [f"{name} quick", f"{name} stays", f"{name} later"], "{{ $item }}", maxParallel=1)
            )
        for name in ("one", "two"):
            site.until(lambda name=name: stub_model.calls[f"{name} stays"], "the call that hangs", timeout=RUN_PATIENCE)
            assert FINALIZER in site.get(KIND, name)["metadata"]["finalizers"]
        site.delete(KIND, "one")
        site.until(lambda: site.get(KIND, "one") is None, "the object to go", timeout=RUN_PATIENCE)

        controller.stop(signal.SIGKILL)
        site.delete(KIND, "two")
        assert site.get(KIND, "two")["metadata"]["deletionTimestamp"], "nobody is there to cancel its run"
        site.start_controller()
        site.until(lambda: site.get(KIND, "two") is None, "the other to go", timeout=RUN_PATIENCE)
    for name in ("one", "two"):
        assert record(site, name).state is RunState.CANCELLED
        found = lines(site, name, monkeypatch, capsys)
        assert [line["status"] for line in found] == ["completed", "cancelled"]
        assert not stub_model.calls[f"{name} later"]
    assert "Cancelled" in site.reasons()
