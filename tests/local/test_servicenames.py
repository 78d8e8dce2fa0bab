"""Names of Services on a machine without a cluster."""

import asyncio
from pathlib import Path

import pytest

from taskfleet.api.manifests import Manifests, load
from taskfleet.local.servicenames import on_this_machine

QUEUE = """
apiVersion: taskfleet.dev/v1alpha1
kind: TaskQueue
metadata: {name: demo}
spec: {models: [{name: smollm2}]}
---
"""
POOL = """
apiVersion: taskfleet.dev/v1alpha1
kind: WorkerPool
metadata: {name: demo}
spec:
  queueRef: {name: demo}
  endpoints:
  - {name: one, url: "URL", models: [smollm2]}
"""


def manifests(folder: Path, url: str) -> Manifests:
    (folder / "all.yaml").write_text(QUEUE + POOL.replace("URL", url))
    return load([folder])


async def moved(folder: Path, url: str, told: list[str]) -> str:
    found = await on_this_machine(manifests(folder, url), told.append)
    return found.pools[0].spec.endpoints[0].url


async def test_a_service_that_the_network_does_not_know_is_this_machine_and_that_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    assert await moved(tmp_path, "http://no-such-service-here:8080/v1", told) == "http://127.0.0.1:8080/v1"
    assert len(told) == 1
    assert "endpoint one" in told[0]
    assert "no-such-service-here" in told[0]
    assert "http://127.0.0.1:8080/v1" in told[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/v1",
        "http://[::1]:8080/v1",
        "http://localhost:8080/v1",
        "https://api.no-such-domain.example/v1",
    ],
)
async def test_addresses_and_full_names_are_left_alone(tmp_path: Path, url: str) -> None:
    told: list[str] = []
    assert await moved(tmp_path, url, told) == url
    assert told == []


async def test_a_name_that_the_network_knows_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def known(*_: object) -> list[object]:
        return [object()]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", known)
    told: list[str] = []
    assert await moved(tmp_path, "http://gpubox:8000/v1", told) == "http://gpubox:8000/v1"
    assert told == []


async def test_a_network_that_does_not_answer_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", silent)
    monkeypatch.setattr("taskfleet.local.servicenames.LOOKUP_SECONDS", 0.01)
    assert await moved(tmp_path, "http://gpubox:8000/v1", []) == "http://127.0.0.1:8000/v1"
