"""The worker's environment: what a fleet writes, a worker reads; every bad value is a sentence."""

import json
import os
import socket
import subprocess
import sys

import pytest

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.workerpool import WorkerPool
from taskfleet.core.errors import InputError
from taskfleet.core.task import QueueKey
from taskfleet.worker import environment
from taskfleet.worker.settings import WorkerSettings, read_settings

ENDPOINT = {"name": "local", "url": "http://llm:8080/v1", "models": ["small"], "concurrency": 3}
GOOD = {
    "TASKFLEET_STORE_URL": "valkey://:a-password@localhost:6379",
    "TASKFLEET_QUEUE": "team/demo",
    "TASKFLEET_POOL": "pool",
    "TASKFLEET_ENDPOINT": json.dumps(ENDPOINT),
    "TASKFLEET_API_KEY": "a-secret-key",
}


def test_a_worker_reads_what_a_fleet_writes() -> None:
    pool = WorkerPool.model_validate(
        {
            "apiVersion": "taskfleet.dev/v1alpha1",
            "kind": "WorkerPool",
            "metadata": {"name": "pool", "namespace": "team"},
            "spec": {
                "queueRef": {"name": "demo"},
                "endpoints": [ENDPOINT | {"remoteNames": {"small": "Small-1B"}}],
                "workerTemplate": {"terminationGracePeriod": "1m30s"},
            },
        }
    )
    told = environment(pool, pool.spec.endpoints[0])
    settings = read_settings({**told, "TASKFLEET_STORE_URL": "valkey://localhost"})
    assert settings.queue == QueueKey("team", "demo")
    assert settings.pool == "pool"
    assert settings.endpoint == pool.spec.endpoints[0]
    assert settings.grace_seconds == 90.0
    assert settings.api_key is None


def test_defaults_are_a_known_port_a_minute_of_grace_and_a_name_of_its_own() -> None:
    first, second = read_settings(GOOD), read_settings(GOOD)
    assert (first.port, first.grace_seconds) == (8422, 60.0)
    assert first.worker != second.worker


@pytest.mark.parametrize(("text", "port"), [("0", 0), ("9000", 9000), ("", None)])
def test_port(text: str, port: int | None) -> None:
    assert read_settings(GOOD | {"TASKFLEET_PORT": text}).port == port


def test_secrets_are_not_in_what_is_printed() -> None:
    shown = repr(read_settings(GOOD))
    assert "a-secret-key" not in shown
    assert "a-password" not in shown


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("TASKFLEET_STORE_URL", "", "not set; it must be the URL of the store, such as valkey://host:6379"),
        ("TASKFLEET_QUEUE", "", "'' is not namespace/name"),
        ("TASKFLEET_QUEUE", "a/b/c", "'a/b/c' is not namespace/name"),
        ("TASKFLEET_POOL", "", "not set; it must be the WorkerPool's name"),
        ("TASKFLEET_ENDPOINT", "", "not JSON; it must be one endpoint of a WorkerPool as JSON"),
        ("TASKFLEET_ENDPOINT", "[]", "endpoint: Input should be"),
        ("TASKFLEET_ENDPOINT", json.dumps(ENDPOINT | {"concurrency": 0}), "concurrency: Input should be greater"),
        ("TASKFLEET_PORT", "http", "'http' is not a port; use 0 to 65535, or nothing for no HTTP"),
        ("TASKFLEET_PORT", "65536", "'65536' is not a port"),
        ("TASKFLEET_GRACE_SECONDS", "soon", "'soon' is not a time; use seconds from 0 to 86400"),
        ("TASKFLEET_GRACE_SECONDS", "-1", "'-1' is not a time"),
        ("TASKFLEET_GRACE_SECONDS", "nan", "'nan' is not a time"),
    ],
)
def test_a_bad_value_is_a_sentence(name: str, value: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        read_settings(GOOD | {name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert sentence in str(caught.value)


def test_all_bad_values_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        read_settings({"TASKFLEET_PORT": "x"})
    told = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert told == [
        "TASKFLEET_STORE_URL",
        "TASKFLEET_QUEUE",
        "TASKFLEET_POOL",
        "TASKFLEET_ENDPOINT",
        "TASKFLEET_PORT",
    ]


def test_a_worker_s_own_name_is_kept() -> None:
    settings: WorkerSettings = read_settings(GOOD | {"TASKFLEET_WORKER": "pod-1"})
    assert settings.worker == "pod-1"
    assert isinstance(settings.endpoint, Endpoint)


def test_the_process_tells_bad_settings_and_ends_with_the_code_for_bad_input() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKFLEET_")}
    command = [sys.executable, "-m", "taskfleet.worker"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == InputError.exit_code
    assert "TASKFLEET_QUEUE: '' is not namespace/name" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_a_sentence_and_the_code_for_bad_input() -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        environment = {**os.environ, **GOOD, "TASKFLEET_PORT": str(taken.getsockname()[1])}
        command = [sys.executable, "-m", "taskfleet.worker"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == InputError.exit_code
    assert "TASKFLEET_PORT: " in ended.stderr
    assert "address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr
