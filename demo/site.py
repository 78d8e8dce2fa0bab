"""A small web site on loopback for the samples of parallel queues: hundreds of pages, and much that is wrong.

``python -m demo.site --document report.md`` serves until Ctrl-C, and writes a document with 120 links to it: pages,
redirects, slow pages, pages that are gone, broken TLS, dead hosts.
"""

import argparse
import contextlib
import datetime
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from threading import Thread

from demo.ending import until_ended

HOST, PORT = "127.0.0.1", 8099
PAGES = 400
SLOW_SECONDS = 0.5
_GONE = {"gone": 404, "removed": 410, "broken": 500}


@dataclass(frozen=True, slots=True)
class Site:
    """``port`` has plain HTTP, ``tls_port`` a certificate of nobody whom a browser trusts."""

    port: int
    tls_port: int

    def links(self) -> list[str]:
        """120 addresses that a document names, of which 90 lead to a page."""
        here, secure = f"http://{HOST}:{self.port}", f"https://{HOST}:{self.tls_port}"
        return [
            *(f"{here}/page/{number}" for number in range(1, 71)),
            *(f"{here}/moved/{number}" for number in range(71, 86)),
            *(f"{here}/slow/{number}" for number in range(86, 91)),
            *(f"{here}/{kind}/{number}" for kind in _GONE for number in range(1, 6)),
            *(f"{here}/loop/{number}" for number in range(5)),
            *(f"{secure}/page/{number}" for number in range(1, 6)),
            *(f"http://{HOST}:1/dead/{number}" for number in range(1, 6)),
        ]

    def document(self) -> str:
        """A report in Markdown whose sources are these links."""
        sources = [f"{n}. Claim {n} is told [there]({link}).\n" for n, link in enumerate(self.links(), start=1)]
        return "# What is known of the matter\n\n" + "".join(sources)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # whoever called has gone, or does not trust our certificate
            super().handle()

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        kind, _, rest = self.path.strip("/").partition("/")
        number = int(rest) if rest.isdecimal() else 0
        if kind == "slow":
            time.sleep(SLOW_SECONDS)
        if kind in ("page", "slow", "") and number <= PAGES:
            self._send(200, _page(number))
        elif kind in ("moved", "loop"):
            self._send(301, "", {"Location": f"/page/{number}" if kind == "moved" else f"/loop/{number}"})
        else:
            self._send(_GONE.get(kind, 404), "<title>Nothing here</title>")

    do_HEAD = do_GET  # noqa: N815 - the names are http.server's

    def _send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        fields = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)), **(headers or {})}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _page(number: int) -> str:
    following = "".join(f'<a href="/page/{n}">{n}</a> ' for n in range(number + 1, min(number + 4, PAGES) + 1))
    return (
        f"<!doctype html><title>Page {number}</title><h1>Page {number}</h1><p>What is said of {number}.</p>{following}"
    )


def _certificate(file: Path) -> None:
    """Signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "demo site")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))


@contextmanager
def serving(port: int = 0) -> Iterator[Site]:
    """The site, on a free port where none is given."""
    plain = _server(port)
    secure = _server(0)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.pem"
        _certificate(file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
    # The handshake belongs into the connection's own thread: a client that breaks it off stops nobody else.
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    threads = [Thread(target=each.serve_forever, kwargs={"poll_interval": 0.05}) for each in (plain, secure)]
    for thread in threads:
        thread.start()
    try:
        yield Site(plain.server_port, secure.server_port)
    finally:
        for server in (plain, secure):
            server.shutdown()
            server.server_close()
        for thread in threads:
            thread.join()


def _server(port: int) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer((HOST, port), _Handler)
    server.daemon_threads = True
    return server


def main() -> int:
    parser = argparse.ArgumentParser(description="A small web site for the samples of parallel queues.")
    parser.add_argument("--port", type=int, default=PORT, help=f"default: {PORT}")
    parser.add_argument("--document", type=Path, help="write a document with links to the site here")
    options = parser.parse_args()
    try:
        with serving(options.port) as site:
            if options.document is not None:
                options.document.write_text(site.document())
            print(
                f"http://{HOST}:{site.port}/page/1 is up; {len(site.links())} links to it, Ctrl-C ends it", flush=True
            )
            until_ended()
    except OSError as error:
        print(f"cannot serve on port {options.port}: {error.strerror}; give another --port", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
