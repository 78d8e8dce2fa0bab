"""The surface asks the API server for nothing that it already shows, and writes over nothing that it must not."""

import logging
from pathlib import Path
from typing import Any

import pytest

from taskfleet.api.taskqueue import TaskQueue
from taskfleet.controller.cluster.cache import ObjectCache
from taskfleet.controller.cluster.surface import KubernetesSurface
from taskfleet.controller.fleet import Kind
from taskfleet.kube import KubeClient
from tests.kube.test_client import Recorder, serving, write_kubeconfig

SHOWN = {"pending": 1}


def seen(uid: str = "u-1") -> dict[str, Any]:
    meta = {"namespace": "ns", "name": "q", "uid": uid, "resourceVersion": "5", "finalizers": ["theirs"]}
    fields = {"models": [{"name": "m"}]}
    return {
        "apiVersion": "taskfleet.dev/v1alpha1",
        "kind": "TaskQueue",
        "metadata": meta,
        "spec": fields,
        "status": SHOWN,
    }


async def requests_of(tmp_path: Path, status: dict[str, Any], *, live: dict[str, Any] | None, invalid: bool) -> int:
    recorder = Recorder("good", answer=seen())
    caches: dict[Kind, ObjectCache] = {"TaskQueue": ObjectCache(), "WorkerPool": ObjectCache()}
    if live:
        caches["TaskQueue"].saw(live)
    async with (
        serving(recorder) as port,
        KubeClient.open(write_kubeconfig(tmp_path / "k", port, "good")) as client,
    ):
        surface = KubernetesSurface(client, caches, {"u-1"} if invalid else set())
        await surface.write_status("TaskQueue", TaskQueue.model_validate(seen()), status)
    return len(recorder.requests)


async def test_a_status_that_is_shown_already_is_not_written(tmp_path: Path) -> None:
    assert await requests_of(tmp_path, SHOWN, live=seen(), invalid=False) == 0
    assert await requests_of(tmp_path, {"pending": 2}, live=seen(), invalid=False) == 1


async def test_a_status_is_not_written_to_a_later_object_of_the_same_name(tmp_path: Path) -> None:
    assert await requests_of(tmp_path, {"pending": 2}, live=seen("u-2"), invalid=False) == 0
    assert await requests_of(tmp_path, {"pending": 2}, live=None, invalid=False) == 0


async def test_what_is_wrong_with_an_object_is_not_written_over(tmp_path: Path) -> None:
    assert await requests_of(tmp_path, {"pending": 2}, live=seen(), invalid=True) == 0


async def test_an_event_and_an_object_that_is_gone_are_logged_at_every_level(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "taskfleet.controller.cluster")
    queue = TaskQueue.model_validate(seen())
    recorder = Recorder("good", answer={"message": "gone"}, status=404)
    caches: dict[Kind, ObjectCache] = {"TaskQueue": ObjectCache(), "WorkerPool": ObjectCache()}
    caches["TaskQueue"].saw(seen())
    async with (
        serving(recorder) as port,
        KubeClient.open(write_kubeconfig(tmp_path / "k", port, "good")) as client,
    ):
        surface = KubernetesSurface(client, caches, set())
        surface.event("TaskQueue", queue, "Deleting", "3 tasks wait", warning=True)
        await surface.write_status("TaskQueue", queue, {"pending": 2})
        await surface.release(queue)
    assert [(each.message, each.__dict__["object"]) for each in caplog.records] == [
        ("3 tasks wait", "ns/q"),
        ("gone before its status was written", "ns/q"),
        ("gone before it was released", "ns/q"),
    ]
