"""A network between a client and the API server that holds a request back for as long as a test wants."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

_CHUNK = 65536


class HoldingProxy:
    """Plain HTTP in, TLS to the API server out; watches stream through. Nothing is held until ``hold``."""

    def __init__(self, server: tuple[str, int], ca: Path) -> None:
        self._server = server
        self._tls = ssl.create_default_context(cafile=str(ca))
        self._pattern = b""
        self._let_through = threading.Event()
        self._let_through.set()
        self.held = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def kubeconfig(self, of: Path, to: Path) -> Path:
        """The same login through this proxy."""
        config = json.loads(of.read_text())
        port = self._listener.getsockname()[1]
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
        to.write_text(json.dumps(config))
        return to

    def hold(self, request: bytes) -> None:
        """The next request whose line holds these bytes gets no further until ``release``; ``held`` tells of it."""
        self._let_through.clear()
        self._pattern = request

    def release(self) -> None:
        self._pattern = b""
        self._let_through.set()

    def close(self) -> None:
        self.release()
        for each in (self._listener, *self._connections):
            with contextlib.suppress(OSError):  # gone already
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                inner, _ = self._listener.accept()
                outer = self._tls.wrap_socket(socket.create_connection(self._server), server_hostname="localhost")
                self._connections += [inner, outer]
                for source, target, holds in ((inner, outer, True), (outer, inner, False)):
                    threading.Thread(target=self._relay, args=(source, target, holds), daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket, holds: bool) -> None:
        with contextlib.suppress(OSError):  # either end has closed
            while data := source.recv(_CHUNK):
                if holds and self._pattern and self._pattern in data.partition(b"\r\n")[0]:
                    self.held.set()
                    self._let_through.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def holding_proxy(url: str, ca: Path) -> Iterator[HoldingProxy]:
    host, _, port = url.removeprefix("https://").partition(":")
    proxy = HoldingProxy((host, int(port)), ca)
    try:
        yield proxy
    finally:
        proxy.close()
