"""API keys: who may do what, and whose tasks are there for whom."""

import json
import re
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI

from taskfleet.core.errors import InputError
from taskfleet.core.task import Priority
from taskfleet.gateway.apicalls import CALLS
from taskfleet.gateway.keyring import KeyRing, hash_of
from taskfleet.gateway.service import GatewayOptions, gateway
from tests.gateway.conftest import Site
from tests.support.waiting import eventually

ONE = {"name": "one", "sha256": hash_of("key-of-one"), "tenant": "one", "rights": ["submit", "read"]}
TWO = {"name": "two", "sha256": hash_of("key-of-two"), "tenant": "two", "maxPriority": "normal"}
ADMIN = {"name": "boss", "sha256": hash_of("key-of-boss"), "rights": ["submit", "read", "work", "admin"]}
READER = {"name": "reader", "sha256": hash_of("key-of-reader"), "rights": ["read"], "queues": ["test/elsewhere"]}
CHAT = "/v1/chat/completions"
HELLO = [{"role": "user", "content": "Hi"}]


def write(path: Path, *keys: object) -> Path:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"keys": keys}))  # JSON is YAML
    fresh.replace(path)
    return path


def broken(path: Path) -> None:
    path.write_text("keys: [")


def shown(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write(tmp_path / "keys.yaml", ONE, TWO, ADMIN, READER)


async def test_without_a_key_nothing_is_told(locked: Site) -> None:
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic abc"}, shown("wrong")):
        answer = await locked.http.get("/v1/models", headers={"Authorization": "", **headers})
        assert answer.status_code == 401, headers
        assert answer.json()["error"]["type"] == "authentication_error"
        assert answer.headers["www-authenticate"] == "Bearer"
    async with AsyncOpenAI(base_url=f"{locked.url}/v1", api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()
    assert (await locked.http.get("/healthz", headers={"Authorization": ""})).status_code == 200


async def test_no_call_is_answered_without_a_key(locked: Site) -> None:
    """Whichever calls there are, now and later."""
    for method, path in CALLS:
        url = re.sub(r"\{\w+\}", "x", path)
        answer = await locked.http.request(method, url, json={}, headers={"Authorization": ""})
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key"), (method, url)


async def test_a_key_says_whose_tasks_are_submitted(locked: Site) -> None:
    answer = await locked.post("/v1/tasks", {"prompt": "x"})
    assert answer.json()["tenant"] == "one"
    for wanted in ({"prompt": "x", "tenant": "two"}, {"prompt": "x", "taskfleet": {"tenant": "two"}}):
        refused = await locked.post("/v1/tasks", wanted)
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")


async def test_another_tenants_task_is_not_there(locked: Site) -> None:
    task = (await locked.post("/v1/tasks", {"id": "mine", "prompt": "x"})).json()
    two = shown("key-of-two")
    for path in ("", "/status", "/result"):
        assert (await locked.get(f"/v1/tasks/{task['id']}{path}", headers=two)).status_code == 404
    assert (await locked.post("/v1/tasks/mine/cancel", headers=two)).status_code == 404
    assert (await locked.get("/v1/tasks/mine", headers=shown("key-of-boss"))).status_code == 200
    assert (await locked.get("/v1/tasks/mine")).json()["status"] == "pending"


async def test_the_same_idempotency_key_of_two_tenants_is_two_tasks(locked: Site) -> None:
    again = {"Idempotency-Key": "k"}
    first = await locked.post("/v1/tasks", {"prompt": "x"}, headers=again)
    other = await locked.post("/v1/tasks", {"prompt": "y"}, headers=again | shown("key-of-two"))
    assert (first.status_code, other.status_code) == (202, 202)
    assert first.json()["id"] != other.json()["id"]


async def test_a_right_that_is_missing_is_a_403_that_names_it(locked: Site) -> None:
    pause = f"/v1/queues/{locked.queue}/pause"
    refused = await locked.post(pause)
    assert refused.status_code == 403
    assert "'admin'" in refused.json()["error"]["message"]
    assert (await locked.post("/v1/tasks/x/complete", {"output": "x"})).status_code == 403
    assert (await locked.post(CHAT, {"messages": HELLO}, headers=shown("key-of-reader"))).status_code == 403
    assert (await locked.post(pause, headers=shown("key-of-boss"))).status_code == 200


async def test_a_key_reaches_only_its_queues(locked: Site) -> None:
    reader = shown("key-of-reader")
    assert (await locked.get("/v1/queues", headers=reader)).json()["data"] == []
    assert (await locked.get(f"/v1/queues/{locked.queue}/stats", headers=reader)).status_code == 404
    assert (await locked.get("/v1/models", headers=reader)).status_code == 404


async def test_a_key_has_a_highest_priority(locked: Site) -> None:
    two = shown("key-of-two")
    refused = await locked.post(
        f"{CHAT}?batch=true", {"messages": HELLO}, headers={**two, "Taskfleet-Priority": "high"}
    )
    assert refused.status_code == 403
    answer = await locked.post(CHAT, {"messages": HELLO}, headers={**two, "Prefer": "wait=0"})
    (view,) = await locked.work.views([answer.json()["id"]])
    assert view.priority is Priority.NORMAL, "interactive calls are high as far as the key reaches"


async def test_changed_keys_count_at_once_and_broken_ones_do_not(locked: Site, keys: Path) -> None:
    broken(keys)
    three = {"name": "three", "sha256": hash_of("key-of-three")}

    async def status(key: str) -> int:
        return (await locked.get("/v1/models", headers=shown(key))).status_code

    assert await status("key-of-one") == 200
    write(keys, TWO, three)

    async def changed() -> bool:
        return await status("key-of-three") == 200

    await eventually(changed, "the new key to count")
    assert await status("key-of-one") == 401


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file"),
        ("keys: [{name: a}]", "keys.0.sha256"),
        ("keys: [{name: a, sha256: key-of-one}]", "keys.0.sha256"),
        (json.dumps({"keys": [{**ONE, "rights": ["sing"]}]}), "keys.0.rights.0"),
        (json.dumps({"keys": [{**ONE, "queues": ["demo"]}]}), "keys.0.queues.0"),
        (json.dumps({"keys": [{**ONE, "tenant": "no tenant"}]}), "keys.0.tenant"),
        (json.dumps({"keys": [{**ONE, "key": "in the open"}]}), "keys.0.key"),
        (json.dumps({"keys": [ONE, {**TWO, "sha256": ONE["sha256"]}]}), "two keys have the same"),
    ],
)
def test_a_file_of_keys_that_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(InputError, match=r"^keys: ") as caught:
        KeyRing(tmp_path / "keys.yaml")
    assert says in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "gateway.example"])
async def test_without_keys_only_this_machine_is_served(options: GatewayOptions, host: str) -> None:
    with pytest.raises(InputError, match="keys: without API keys"):
        async with gateway(replace(options, host=host)):
            raise AssertionError("it serves")


async def test_a_port_that_is_taken_is_named(options: GatewayOptions, site: Site) -> None:
    port = int(site.url.rsplit(":", 1)[1])
    with pytest.raises(InputError, match=f"--port: {port} cannot be used"):
        async with gateway(replace(options, port=port)):
            raise AssertionError("it serves")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://example.org"}, {"Origin": "null"}, {"Host": "example.org:8420"}, {"Host": "[::1"}],
)
async def test_without_keys_a_web_page_of_elsewhere_is_refused(site: Site, headers: dict[str, str]) -> None:
    """Its scripts run in a browser of this machine, which may well call what is on the loopback."""
    answer = await site.post("/v1/tasks", {"prompt": "x"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_from_here")
    assert "use --keys" in answer.json()["error"]["message"]
    stats = await site.work.store.stats(site.queue)
    assert stats is not None and stats.pending == 0


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://localhost:3000"}, {"Host": "localhost:8420"}, {"Host": "[::1]:8420"}, {}]
)
async def test_without_keys_programs_of_this_machine_are_served(site: Site, headers: dict[str, str]) -> None:
    assert (await site.post("/v1/tasks", {"prompt": "x"}, headers=headers)).status_code == 202
