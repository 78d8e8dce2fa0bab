"""The status port that every process has."""

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from taskfleet.core.errors import InputError
from taskfleet.telemetry.server import status_server


async def test_it_serves_health_readiness_and_metrics_on_one_port() -> None:
    registry = CollectorRegistry()
    counter = Counter("things", "Things.", registry=registry)
    async with (
        status_server(registry=registry, ready=lambda: "", port=0, host="127.0.0.1", setting="--port") as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        assert (await client.get("/healthz")).text == "ok\n"
        assert (await client.get("/readyz")).status_code == 200
        counter.inc()
        metrics = await client.get("/metrics")
        assert "things_total 1.0" in metrics.text
        assert metrics.headers["content-type"].startswith("text/plain; version=")


async def test_not_ready_is_503_with_the_reason_while_health_stays() -> None:
    reason = "the store cannot be reached"
    async with (
        status_server(
            registry=CollectorRegistry(), ready=lambda: reason, port=0, host="127.0.0.1", setting="--port"
        ) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "the store cannot be reached\n")
        assert (await client.get("/healthz")).status_code == 200
        reason = ""
        assert (await client.get("/readyz")).status_code == 200


async def test_a_taken_port_is_an_error() -> None:
    async with status_server(
        registry=CollectorRegistry(), ready=str, port=0, host="127.0.0.1", setting="--port"
    ) as port:
        with pytest.raises(InputError, match=f"--port: {port} cannot be used: .*address already in use"):
            async with status_server(
                registry=CollectorRegistry(), ready=str, port=port, host="127.0.0.1", setting="--port"
            ):
                pass
