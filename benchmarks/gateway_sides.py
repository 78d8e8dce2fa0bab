"""What the gateway's benchmarks compare: ours with its store and a worker, LiteLLM's proxy, and the bare pass-through.

Each serves OpenAI's chat on a port of its own, in processes of its own, in front of the same model server.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from benchmarks.gateway_load import KEY
from benchmarks.peers import LITELLM, OURS, Engine, Unavailable, prepare, versions
from benchmarks.worker_throughput import cpu_seconds, process_of
from taskfleet.core.task import QueueKey
from taskfleet.gateway.keyring import hash_of
from taskfleet.store import Store
from tests.support.valkeyserver import free_port, running_valkey
from tests.support.workerprocess import MODEL, quick_policy, worker_process

QUEUE = QueueKey("bench", "gateway")
PASS_THROUGH = "pass-through"
PEER = Engine(LITELLM, "", 0, ("litellm[proxy]",))
START_SECONDS = 90.0
MEBIBYTE = 1024  # of the kibibytes that Linux counts in


@dataclass(frozen=True, slots=True)
class Side:
    """``url`` has no path. ``pids``: its processes, the one that answers first; a store and a model server are none of
    them."""

    url: str
    pids: Sequence[int]

    def cpu_seconds(self) -> float:
        """Of all its processes so far."""
        return sum(cpu_seconds(pid) for pid in self.pids)

    def memory(self) -> float:
        """MiB that the one that answers has had at most so far."""
        status = Path(f"/proc/{self.pids[0]}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / MEBIBYTE


@dataclass(frozen=True, slots=True)
class Ours(Side):
    """With the store behind it."""

    store: Store


def model_server(latency: float, chunks: int = 20) -> contextlib.AbstractContextManager[str]:
    """Its URL, which ends in ``/v1``."""
    return process_of("benchmarks.gateway_stub", "--latency", str(latency), "--chunks", str(chunks))


@contextlib.asynccontextmanager
async def ours(model: str, *, concurrency: int = 64) -> AsyncIterator[Ours]:
    """A gateway with API keys, a worker under a rate limit, and a store that writes its log, as installed."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_valkey(folder, appendonly="yes", appendfsync="everysec"))
        store_url = f"valkey://127.0.0.1:{server.port}"
        store = await Store.connect(store_url)
        try:
            await store.put_policy(QUEUE, quick_policy(leaseDuration="15s", taskTimeout="120s"))
            keys = folder / "keys.yaml"
            keys.write_text(json.dumps({"keys": [{"name": "bench", "sha256": hash_of(KEY), "tenant": "bench"}]}))
            limit = {"rateLimit": {"requestsPerMinute": 10_000_000}}
            worker = stack.enter_context(
                worker_process(store_url, QUEUE, model, concurrency=concurrency, endpoint=limit, fresh=True)
            )
            port = free_port()
            command = [str(Path(sys.executable).with_name("taskfleet")), "gateway", "--store-url", store_url]
            command += [
                "--port",
                str(port),
                "--keys",
                str(keys),
                "--queue",
                str(QUEUE),
                "--files",
                str(folder / "files"),
            ]
            gateway = stack.enter_context(_process(command))
            await worker.says("working", timeout=START_SECONDS)
            await _answers(port, gateway)
            yield Ours(f"http://127.0.0.1:{port}", (gateway.pid, worker.pid), store)
        finally:
            await store.close()


@contextlib.asynccontextmanager
async def litellm(model: str) -> AsyncIterator[Side]:
    """One worker, a master key (it starts with none), a model with a price, no database. Raises Unavailable."""
    python = prepare(PEER)[0]
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        program = str(Path(python).with_name("litellm"))
        command = [program, "--config", _litellm_config(folder, model), "--host", "127.0.0.1", "--port", str(port)]
        with _process([*command, "--num_workers", "1"], LITELLM_LOCAL_MODEL_COST_MAP="True") as process:
            await _answers(port, process)
            yield Side(f"http://127.0.0.1:{port}", (process.pid, *_children(process.pid)))


@contextlib.asynccontextmanager
async def pass_through(model: str) -> AsyncIterator[Side]:
    port = free_port()
    with _process([sys.executable, "-m", "benchmarks.gateway_floor", str(port), model]) as process:
        await _answers(port, process)
        yield Side(f"http://127.0.0.1:{port}", (process.pid,))


def _litellm_config(folder: str, model: str) -> str:
    called = {"model": f"openai/{MODEL}", "api_base": model, "api_key": "none"}
    prices = {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}
    listed = [{"model_name": MODEL, "litellm_params": called | prices}]
    settings = {"model_list": listed, "general_settings": {"master_key": KEY}}
    config = Path(folder, "config.yaml")
    config.write_text(yaml.safe_dump(settings | {"litellm_settings": {"telemetry": False}}))
    return str(config)


def peer_version() -> str:
    """Of LiteLLM, once it was prepared."""
    return versions(PEER)


SIDES = {OURS: ours, LITELLM: litellm, PASS_THROUGH: pass_through}


@contextlib.contextmanager
def _process(command: list[str], **more: str) -> Iterator["subprocess.Popen[bytes]"]:
    # Without compiled files LiteLLM is a third slower: it compiles an import that fails anew on each request.
    kept = (name for name in os.environ if not name.startswith("TASKFLEET_") and name != "PYTHONDONTWRITEBYTECODE")
    environment = {name: os.environ[name] for name in kept}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment | more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


async def _answers(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until a chat is answered."""
    end = time.monotonic() + START_SECONDS
    asked = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
        while time.monotonic() < end and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                answer = await client.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=asked)
                if answer.status_code == 200:
                    return
            await asyncio.sleep(0.1)
    raise Unavailable(f"it did not answer within {START_SECONDS:.0f} s")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
