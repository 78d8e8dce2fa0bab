"""One site, one forbidden server and one set of tools for all tests of tools."""

import datetime
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from taskfleet.providers.tools import hop
from tests.tools.host import ToolHost, tools_endpoint
from tests.tools.site import ALLOWED, FORBIDDEN, Server, serving

NAMES = {"site.test": [ALLOWED], "inside.test": [FORBIDDEN], "both.test": [FORBIDDEN, ALLOWED]}
_asked_system = socket.getaddrinfo


class Names:
    """Our own names beside the system's; ``turns`` has those that mean another address each time they are asked."""

    def __init__(self) -> None:
        self.turns: dict[str, list[str]] = {}

    def found(self, host: Any, port: Any, *more: Any, **options: Any) -> Any:
        addresses = [self.turns[host].pop(0)] if host in self.turns else NAMES.get(host, [host])
        return [info for address in addresses for info in _asked_system(address, port, *more, **options)]


@pytest.fixture(scope="session")
def names() -> Iterator[Names]:
    own = Names()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", own.found)
        yield own


@pytest.fixture(scope="session")
def site() -> Iterator[Server]:
    with serving(ALLOWED) as server:
        yield server


@pytest.fixture(scope="session")
def forbidden() -> Iterator[Server]:
    with serving(FORBIDDEN) as server:
        yield server


@pytest.fixture(scope="session")
def authority() -> Iterator[trustme.CA]:
    """The one that http trusts."""
    own = trustme.CA()
    context = ssl.create_default_context()
    own.configure_trust(context)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hop, "tls_context", lambda: context)
        yield own


@pytest.fixture(scope="session")
def tls_sites(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """By what is wrong with their certificates."""
    folder = tmp_path_factory.mktemp("certificates")
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3)
    issued = {
        "good": authority.issue_cert(ALLOWED, "site.test", common_name="The site"),
        "expired": authority.issue_cert(ALLOWED, not_after=past, not_before=past - datetime.timedelta(days=9)),
        "other-host": authority.issue_cert("elsewhere.example"),
        "self-made": trustme.CA().issue_cert(ALLOWED),
    }
    servers = []
    for name, certificate in issued.items():
        file = Path(folder / f"{name}.pem")
        certificate.private_key_and_cert_chain_pem.write_to_path(str(file))
        servers.append(serving(ALLOWED, file))
    opened = dict(zip(issued, (server.__enter__() for server in servers), strict=True))
    yield opened
    for server in opened.values():
        server.close()


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "root"


@pytest.fixture(scope="session")
def host(root: Path, names: Names, authority: trustme.CA) -> Iterator[ToolHost]:
    root.mkdir()
    endpoint = tools_endpoint(
        *("http", "web", "headless-browser", "terminal", "file"),
        network={"allowedNetworks": [f"{ALLOWED}/32"]},
        terminal={"memory": "64Mi", "cpuTime": "1s", "processes": 16, "folderSize": "8Mi", "outputSize": "64Ki"},
        file={"root": str(root), "maxFileSize": "64Ki"},
    )
    own = ToolHost(endpoint)
    yield own
    own.close()
