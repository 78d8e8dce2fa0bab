"""The gateway of the chart, as a team uses it: OpenAI's own client, keys in a Secret, pods that go in mid-stream."""

import base64
import contextlib
import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AuthenticationError, OpenAI

from tests.e2e.cluster import SYSTEM, Cluster, running
from tests.e2e.conftest import make_volume, model_server
from tests.e2e.release import Release
from tests.e2e.test_cluster import APPLIED
from tests.e2e.test_shrinking import stub
from tests.support.apiserver import kubectl_path
from tests.support.waiting import wait_until

GATEWAY, CLAIM, SECRET = "taskfleet-gateway", "e2e-files", "e2e-keys"
GATEWAYS = "app.kubernetes.io/component=gateway,app.kubernetes.io/instance=taskfleet"
MODEL = "smollm2"
PIECE_SECONDS = 0.4
GRACE_SECONDS = 3  # so that a rollout cuts the stream; a release has more
LINES = 40


@dataclass(frozen=True)
class Keys:
    """The file of keys and two keys in it, by name."""

    file: Path
    team: str
    leaver: str

    def manifest(self) -> dict[str, Any]:
        data = {"keys.yaml": base64.b64encode(self.file.read_bytes()).decode()}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": SYSTEM}, "data": data}


def taskfleet(*words: str) -> str:
    command = [str(Path(sys.executable).with_name("taskfleet")), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    file = tmp_path_factory.mktemp("keys") / "keys.yaml"
    made = [taskfleet("keys", "create", name, "--tenant", name, "-f", str(file)) for name in ("team", "leaver")]
    return Keys(file, *made)


@pytest.fixture(scope="module")
def with_gateway(release: Release, installed: Cluster, keys: Keys) -> Iterator[Cluster]:
    """The release with two gateways, for the tests of this module."""
    volume = make_volume(installed, CLAIM, CLAIM, "ReadWriteMany")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": SYSTEM},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "storageClassName": "",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    installed.apply(keys.manifest(), claim)
    values = {
        "enabled": True,
        "keys": {"existingSecret": SECRET},
        "files": {"persistence": {"existingClaim": CLAIM}},
        "gracePeriodSeconds": GRACE_SECONDS,
    }
    release.upgrade(gateway=values)
    yield installed
    release.upgrade()
    assert not installed.get("deployment", GATEWAY, "-n", SYSTEM)
    installed.kubectl("delete", f"pvc/{CLAIM}", f"secret/{SECRET}", "-n", SYSTEM, "--timeout=60s", seconds=70)
    installed.kubectl("delete", "pv", volume, "--timeout=60s", seconds=70)


@contextlib.contextmanager
def gateway_url(cluster: Cluster) -> Iterator[str]:
    with cluster.port_forward(f"service/{GATEWAY}", 8420) as port:
        yield f"http://127.0.0.1:{port}"


def serve(cluster: Cluster, namespace: str) -> None:
    cluster.apply(*model_server(namespace, chunk_latency=PIECE_SECONDS))
    cluster.kubectl("apply", "-n", namespace, *APPLIED)
    cluster.kubectl("rollout", "status", "deployment/llm", "-n", namespace, "--timeout=120s", seconds=130)
    cluster.kubectl("wait", "--for=condition=Ready", "tq/demo", "-n", namespace, "--timeout=30s")


def batch_lines() -> bytes:
    def line(number: int) -> str:
        body = {"model": MODEL, "messages": [{"role": "user", "content": f"line {number}"}]}
        return json.dumps({"custom_id": f"l{number}", "method": "POST", "url": "/v1/chat/completions", "body": body})

    return "\n".join(line(number) for number in range(LINES)).encode()


def start_batch(client: OpenAI) -> str:
    file = client.files.create(file=("lines.jsonl", io.BytesIO(batch_lines())), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    return made.id


def answers_of(client: OpenAI, batch: str) -> dict[str, str]:
    """What came of each line, by its own id; fails unless every line is there once."""

    def ended() -> bool:
        found = client.batches.retrieve(batch)
        assert found.status not in ("failed", "expired", "cancelled"), found
        return found.status == "completed"

    wait_until(ended, "the batch to be completed", timeout=120)
    output = client.batches.retrieve(batch).output_file_id
    assert output is not None
    lines = [json.loads(line) for line in client.files.content(output).text.splitlines()]
    assert len(lines) == LINES
    return {each["custom_id"]: each["response"]["body"]["choices"][0]["message"]["content"] for each in lines}


EXPECTED = {f"l{number}": f"echo: line {number}" for number in range(LINES)}


def test_openais_client_chats_streams_and_runs_a_batch_until_its_key_is_revoked(
    with_gateway: Cluster, namespace: str, keys: Keys
) -> None:
    serve(with_gateway, namespace)
    headers = {"Taskfleet-Queue": f"{namespace}/demo"}
    with gateway_url(with_gateway) as url:
        with pytest.raises(AuthenticationError, match="not known here"):
            OpenAI(base_url=f"{url}/v1", api_key="tf-wrong", default_headers=headers).models.list()
        client = OpenAI(base_url=f"{url}/v1", api_key=keys.team, default_headers=headers, timeout=120)
        asked: Any = [{"role": "user", "content": "Hi"}]
        began = time.monotonic()
        answer = client.chat.completions.create(model=MODEL, messages=asked)
        print(f"\na chat from zero workers took {time.monotonic() - began:.1f} s")
        assert answer.choices[0].message.content == "echo: Hi"
        parts = client.chat.completions.create(model=MODEL, messages=asked, stream=True)
        assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == "echo: Hi"
        assert answers_of(client, start_batch(client)) == EXPECTED

        leaver = OpenAI(base_url=f"{url}/v1", api_key=keys.leaver, default_headers=headers)
        assert leaver.models.list().data
        taskfleet("keys", "revoke", "leaver", "-f", str(keys.file))
        with_gateway.apply(keys.manifest())
        revoked = time.monotonic()

        def refused() -> bool:
            try:
                leaver.models.list()
            except AuthenticationError:
                return True
            return False

        wait_until(refused, "the key to be refused", timeout=150)
        print(f"a key that was taken out of the Secret was refused after {time.monotonic() - revoked:.0f} s")
        assert client.models.list().data


class Reader:
    """Reads one stream over as many connections as it takes."""

    def __init__(self, cluster: Cluster, key: str, queue: str, prompt: str) -> None:
        self.cluster = cluster
        self.ids: list[str] = []
        self.text = ""
        self.done = False
        self._headers = {"Authorization": f"Bearer {key}", "Taskfleet-Queue": queue, "Idempotency-Key": "once"}
        self._body = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": prompt}]}

    def read(self, until: int | None = None) -> Iterator[None]:
        """Yields once after ``until`` pieces; ends when the connection does."""
        headers = self._headers | ({"Last-Event-ID": self.ids[-1]} if self.ids else {})
        with (
            contextlib.suppress(httpx.TransportError),
            gateway_url(self.cluster) as url,
            httpx.stream("POST", f"{url}/v1/chat/completions", json=self._body, headers=headers, timeout=30) as got,
        ):
            assert got.status_code == 200, got.read()
            for line in got.iter_lines():
                self._take(line)
                if until is not None and len(self.ids) >= until:
                    until = None
                    yield

    def _take(self, line: str) -> None:
        name, _, said = line.partition(": ")
        if name == "id":
            self.ids.append(said)
        elif line == "data: [DONE]":
            self.done = True
        elif name == "data":
            chunk = json.loads(said)
            assert "error" not in chunk, chunk
            assert "taskfleet" not in chunk, "the call was made again"
            self.text += "".join(choice["delta"].get("content") or "" for choice in chunk["choices"])


@contextlib.contextmanager
def rolled_out(cluster: Cluster) -> Iterator[None]:
    cluster.kubectl("rollout", "restart", f"deployment/{GATEWAY}", "-n", SYSTEM)
    yield


def gateways(cluster: Cluster) -> list[dict[str, Any]]:
    return list(cluster.get("pods", "-l", GATEWAYS, "-n", SYSTEM)["items"])


def is_going(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" in pod["metadata"]


@contextlib.contextmanager
def drained(cluster: Cluster) -> Iterator[None]:
    """Of the gateways alone. The nodes are open again as soon as one of them goes, for there may be but one node."""
    nodes = sorted({pod["spec"]["nodeName"] for pod in gateways(cluster)})
    options = (f"--pod-selector={GATEWAYS}", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=150s")
    with running([kubectl_path(), "drain", *nodes, *options]) as drain:
        try:
            goes = "a gateway to be evicted"
            wait_until(
                lambda: any("deletionTimestamp" in pod["metadata"] for pod in gateways(cluster)), goes, timeout=60
            )
        finally:
            cluster.kubectl("uncordon", *nodes)
        yield
        said, _ = drain.communicate(timeout=160)
        assert drain.returncode == 0, said
        print(f"\n{said}")


@pytest.mark.parametrize("goes", [rolled_out, drained])
def test_a_stream_and_a_batch_lose_nothing_when_gateways_go(
    with_gateway: Cluster, namespace: str, keys: Keys, goes: Callable[[Cluster], AbstractContextManager[None]]
) -> None:
    cluster, prompt = with_gateway, f"{goes.__name__} {'word ' * 80}"
    serve(cluster, namespace)
    with gateway_url(cluster) as url:
        client = OpenAI(
            base_url=f"{url}/v1", api_key=keys.team, default_headers={"Taskfleet-Queue": f"{namespace}/demo"}
        )
        batch = start_batch(client)
    reader = Reader(cluster, keys.team, f"{namespace}/demo", prompt)
    connections = 0
    with contextlib.ExitStack() as going:
        for _ in reader.read(until=5):
            going.enter_context(goes(cluster))
        cut = len(reader.ids)
        assert not reader.done, "the stream was to be cut"
        deadline = time.monotonic() + 90
        while not reader.done:
            assert time.monotonic() < deadline, f"the stream did not end; {len(reader.ids)} events were read"
            connections += 1
            list(reader.read())
    cluster.kubectl("rollout", "status", f"deployment/{GATEWAY}", "-n", SYSTEM, "--timeout=120s", seconds=130)

    print(f"\ncut after {cut} events, resumed {connections} times, {len(reader.ids)} events in all")
    assert reader.text == f"echo: {prompt}"
    assert reader.ids == sorted(set(reader.ids), key=lambda each: tuple(map(int, each.split("-"))))
    assert stub(cluster, namespace)["calls"][prompt] == 1
    with gateway_url(cluster) as url:
        client = OpenAI(
            base_url=f"{url}/v1", api_key=keys.team, default_headers={"Taskfleet-Queue": f"{namespace}/demo"}
        )
        assert answers_of(client, batch) == EXPECTED
    calls = stub(cluster, namespace)["calls"]
    assert {calls[f"line {number}"] for number in range(LINES)} == {1}
