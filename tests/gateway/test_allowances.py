"""API keys with a number of requests a minute, which all gateways share."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import httpx
import openai
import pytest
import yaml

from taskfleet.gateway.keyring import hash_of
from taskfleet.gateway.service import GatewayOptions
from tests.gateway.conftest import Site, opened
from tests.support.commands import Taskfleet
from tests.support.work import Work

LIMIT = 5


@pytest.fixture
def limited(options: GatewayOptions, work: Work, tmp_path: Path) -> GatewayOptions:
    secret = f"key-of-{work.queue.name}"  # the store is that of all tests
    few = {"name": "few", "sha256": hash_of(secret), "rights": ["submit", "read"], "requestsPerMinute": LIMIT}
    free = {"name": "free", "sha256": hash_of(f"{secret}-free")}
    (tmp_path / "keys.yaml").write_text(json.dumps({"keys": [few, free]}))
    return replace(options, keys=tmp_path / "keys.yaml")


async def ask(site: Site, key: str) -> httpx.Response:
    return await site.get("/v1/models", headers={"Authorization": f"Bearer {key}"})


async def test_two_gateways_together_give_a_key_no_more_than_its_requests(limited: GatewayOptions, work: Work) -> None:
    await work.open()
    secret = f"key-of-{work.queue.name}"
    async with opened(limited, work, secret) as one, opened(limited, work, secret) as other:
        pause = await one.post(f"/v1/queues/{one.queue}/pause")
        assert pause.status_code == 403, "what is refused for want of a right counts for nothing"
        answers = await asyncio.gather(*(ask(site, secret) for site in (one, other) * LIMIT))
        granted = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert (len(granted), len(refused)) == (LIMIT, LIMIT)
        left = sorted(int(answer.headers["x-ratelimit-remaining-requests"]) for answer in granted)
        assert left == list(range(LIMIT))
        for answer in refused:
            error = answer.json()["error"]
            assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
            assert "'few' has 5 requests a minute" in error["message"]
            assert 1 <= int(answer.headers["retry-after"]) <= 62  # and a quarter, rounded up
            assert answer.headers["x-ratelimit-limit-requests"] == str(LIMIT)
        with pytest.raises(openai.RateLimitError):
            await other.openai.models.list()
        for _ in range(LIMIT + 1):
            answer = await ask(one, f"{secret}-free")
            assert answer.status_code == 200
            assert "x-ratelimit-limit-requests" not in answer.headers


def test_the_command_makes_and_shows_a_key_with_a_limit(tmp_path: Path, taskfleet: Taskfleet) -> None:
    file = ["--file", str(tmp_path / "keys.yaml")]
    assert taskfleet("keys", "create", "trial", "--requests-per-minute", "60", *file).code == 0
    (key,) = yaml.safe_load((tmp_path / "keys.yaml").read_text())["keys"]
    assert key["requestsPerMinute"] == 60
    assert taskfleet("keys", "list", *file).out.endswith("\tcritical\t60 requests a minute\n")
    assert taskfleet("keys", "create", "none", "--requests-per-minute", "0", *file).code == 2
