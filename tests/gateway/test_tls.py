"""TLS by files: who connects sees the certificate that is there now, and a wrong one takes nothing away."""

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from taskfleet.core.errors import InputError
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.gateway.tls import Certificate
from tests.gateway.test_command import run
from tests.support.waiting import eventually
from tests.support.work import Work


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def pairs(authority: trustme.CA) -> list[trustme.LeafCert]:
    return [authority.issue_cert("127.0.0.1") for _ in range(2)]


@pytest.fixture
def files(tmp_path: Path, pairs: list[trustme.LeafCert]) -> tuple[Path, Path]:
    found = tmp_path / "tls.crt", tmp_path / "tls.key"
    write(found, pairs[0])
    return found


def write(files: tuple[Path, Path], pair: trustme.LeafCert, *, key_of: trustme.LeafCert | None = None) -> None:
    certificate, key = files
    replace_with(certificate, b"".join(each.bytes() for each in pair.cert_chain_pems))
    replace_with(key, (key_of or pair).private_key_pem.bytes())


def replace_with(path: Path, content: bytes) -> None:
    """As a mounted Secret changes: at once."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(path)


@pytest.fixture
def secured(
    options: GatewayOptions, files: tuple[Path, Path], work: Work, runner: asyncio.Runner
) -> Iterator[tuple[str, Work]]:
    serving = gateway(replace(options, tls=files, grace_seconds=1))

    async def start() -> str:
        await work.open()
        return (await serving.__aenter__()).url

    yield runner.run(start()), work
    runner.run(serving.__aexit__(None, None, None))


async def shown_by(url: str) -> bytes:
    """The certificate that a new connection is shown."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    parts = httpx.URL(url)
    _, writer = await asyncio.open_connection(parts.host, parts.port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return found


def der(pair: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.cert_chain_pems[0].bytes().decode())


async def test_a_client_that_trusts_the_authority_is_served_by_tls(
    secured: tuple[str, Work], authority: trustme.CA
) -> None:
    url, _ = secured
    assert url.startswith("https://")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with httpx.AsyncClient(base_url=url, verify=trusting) as http:
        answer = await http.post("/v1/tasks", json={"prompt": "x"})
        assert answer.status_code == 202
        assert (await http.get("/readyz")).text == "ok\n"
    async with httpx.AsyncClient(base_url=url) as stranger:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.get("/healthz")


async def test_a_renewed_certificate_is_shown_and_a_wrong_one_is_not(
    secured: tuple[str, Work],
    files: tuple[Path, Path],
    pairs: list[trustme.LeafCert],
    caplog: pytest.LogCaptureFixture,
) -> None:
    url, _ = secured
    old, new = pairs
    assert await shown_by(url) == der(old)
    write(files, new, key_of=old)

    async def complained() -> bool:
        return "is not the key of the certificate" in " ".join(str(vars(each)) for each in caplog.records)

    await eventually(complained, "a line about the pair that does not fit")
    assert await shown_by(url) == der(old)
    write(files, new)

    async def renewed() -> bool:
        return await shown_by(url) == der(new)

    await eventually(renewed, "the new certificate")


def missing(files: tuple[Path, Path], _pairs: list[trustme.LeafCert]) -> None:
    files[1].unlink()


def mismatching(files: tuple[Path, Path], pairs: list[trustme.LeafCert]) -> None:
    write(files, pairs[0], key_of=pairs[1])


def no_pem(files: tuple[Path, Path], _pairs: list[trustme.LeafCert]) -> None:
    files[0].write_text("no certificate")


def locked(files: tuple[Path, Path], pairs: list[trustme.LeafCert]) -> None:
    key = load_pem_private_key(pairs[0].private_key_pem.bytes(), None)
    locking = BestAvailableEncryption(b"secret")
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, locking))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (missing, r"--tls-key: .*tls\.key cannot be read: No such file"),
        (mismatching, r"--tls-key: .*tls\.key is not the key of the certificate in .*tls\.crt"),
        (no_pem, r"--tls-cert: .* must hold a certificate and its key as PEM"),
        (locked, r"--tls-key: .* is locked by a password; write it without one"),
    ],
)
def test_files_that_are_no_pair_are_named(
    files: tuple[Path, Path], pairs: list[trustme.LeafCert], spoil: object, says: str
) -> None:
    assert callable(spoil)
    spoil(files, pairs)
    with pytest.raises(InputError, match=says):
        Certificate(*files)


def test_a_certificate_without_its_key_is_refused(files: tuple[Path, Path]) -> None:
    said = run("gateway", "--store-url", "valkey://localhost:1", "--tls-cert", str(files[0]))
    assert said.returncode == 2
    assert "--tls-cert: it and --tls-key go together; give both, or neither" in said.stderr
