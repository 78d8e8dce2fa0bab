"""A small real site on loopback. One at an address that tools may not reach notes who comes."""

import contextlib
import gzip
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

ALLOWED, FORBIDDEN = "127.0.0.1", "127.0.0.2"
SLOW_SECONDS = 20.0
PAGES: dict[str, tuple[str, bytes]] = {
    "/": (
        "text/html; charset=utf-8",
        "<title>The site</title><body><h1>Grüße</h1><a href='/about'>About us</a> <a href='/about'>again</a>"
        "<a href='mailto:a@b.example'>mail</a></body>".encode(),
    ),
    "/about": ("text/html", b"<title>About</title><p>A page.</p>"),
    "/latin": ("text/plain; charset=iso-8859-1", "Grüße".encode("latin-1")),
    "/odd-charset": ("text/plain; charset=no-such", b"text"),
    "/picture": ("image/png", b"\x89PNG\0\0\0"),
    "/big": ("text/plain", b"x" * 300_000),
    "/script": (
        "text/html",
        b"<title>a</title><body><script>document.title='made by script';document.body.innerText='drawn'</script>",
    ),
    "/busy": ("text/html", b"<title>busy</title><body><script>for(;;){}</script>"),
    "/alert": ("text/html", b"<title>alert</title><body>after<script>alert('stop')</script>"),
    "/half": ("text/html", b"<title>\\ud800</title><script>document.title='a\\ud800b'</script><body>x"),
}


class Server:
    """``seen`` has the paths that were asked for; ``let_go`` ends what is slow."""

    def __init__(self, address: str, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[str] = []
        self.let_go = threading.Event()
        self._http = ThreadingHTTPServer((address, 0), type("Bound", (_Handler,), {"site": self}))
        self._http.daemon_threads = True
        if context is not None:
            # The handshake belongs into the connection's own thread: a client that breaks it off stops nobody else.
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True, do_handshake_on_connect=False)
        self.port = int(self._http.server_address[1])
        self.scheme = "https" if context else "http"
        self.address = address
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def url(self, path: str = "/", host: str = "") -> str:
        return f"{self.scheme}://{host or self.address}:{self.port}{path}"

    def close(self) -> None:
        self.let_go.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Server

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever called has gone
            super().handle()

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def answer(self) -> None:
        parts = urlsplit(self.path)
        self.site.seen.append(parts.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path in PAGES:
            kind, content = PAGES[parts.path]
            self.send({"Content-Type": kind, "Set-Cookie": "who=me"}, content)
        else:
            _ANSWERS.get(parts.path, _missing)(self, asked)

    do_GET = do_POST = do_PUT = do_HEAD = do_OPTIONS = answer  # noqa: N815  the names are http.server's

    def send(self, headers: dict[str, str], body: bytes = b"", status: int = 200) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _missing(handler: _Handler, _: dict[str, str]) -> None:
    handler.send({}, b"nothing here", status=404)


def _redirect(handler: _Handler, asked: dict[str, str]) -> None:
    handler.send({"Location": asked["to"]}, status=int(asked.get("status", 302)))


def _echo(handler: _Handler, _: dict[str, str]) -> None:
    body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0)).decode()
    shown = {"method": handler.command, "headers": dict(handler.headers), "body": body}
    handler.send({"Content-Type": "application/json"}, json.dumps(shown).encode())


def _slow(handler: _Handler, _: dict[str, str]) -> None:
    handler.site.let_go.wait(SLOW_SECONDS)
    handler.send({}, b"late")


def _cut(handler: _Handler, _: dict[str, str]) -> None:
    handler.send({"Content-Length": "100000"}, b"only this")
    handler.close_connection = True


def _noise(handler: _Handler, _: dict[str, str]) -> None:
    handler.wfile.write(b"this is not HTTP\r\n\r\n")
    handler.close_connection = True


_ANSWERS: dict[str, Callable[[_Handler, dict[str, str]], None]] = {
    "/redirect": _redirect,
    "/loop": lambda handler, _: handler.send({"Location": "/loop"}, status=302),
    "/status": lambda handler, asked: handler.send({}, b"as you wish", status=int(asked["code"])),
    "/echo": _echo,
    "/bomb": lambda handler, _: handler.send({"Content-Encoding": "gzip"}, gzip.compress(b"0" * 20_000_000, 1)),
    "/slow": _slow,
    "/cut": _cut,
    "/noise": _noise,
    "/download": lambda handler, _: handler.send({"Content-Disposition": "attachment; filename=a.bin"}, b"\0\1"),
    "/page": lambda handler, asked: handler.send({"Content-Type": "text/html"}, asked["html"].encode()),
}


@contextmanager
def serving(address: str, certificate: Path | None = None) -> Iterator[Server]:
    """``certificate``: a file with key and certificate; plain HTTP without one."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = Server(address, context)
    try:
        yield server
    finally:
        server.close()
