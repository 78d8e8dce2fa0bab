"""What belongs to another tenant is not there: whatever the call, and whichever of its ids is known."""

from pathlib import Path

import pytest

from taskfleet.gateway.apicalls import CALLS
from taskfleet.gateway.keyring import hash_of
from tests.gateway.conftest import Site
from tests.gateway.test_keys import ONE, TWO, shown, write

CHAT = "/v1/chat/completions"
BODY = b'{"messages": [{"role": "user", "content": "x"}]}'
LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": %b}\n' % BODY


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    three = {"name": "three", "sha256": hash_of("key-of-three"), "tenant": "three"}
    return write(tmp_path / "keys.yaml", ONE, TWO, three | {"rights": ["submit", "read", "work"]})


async def test_no_call_that_takes_an_id_knows_another_tenants(locked: Site) -> None:
    """Whichever calls there are, now and later."""
    made = await locked.post("/v1/tasks", {"id": "mine", "prompt": "secret"})
    assert made.status_code == 202, made.text
    (claimed,) = (await locked.work.store.claim(locked.queue, "w", ["stub"], 1)).tasks
    file = (await locked.openai.files.create(file=("in.jsonl", LINE), purpose="batch")).id
    batch = (await locked.post("/v1/batches", asked_of(file))).json()["id"]
    ids = {"tasks": claimed.id, "files": file, "batches": batch}
    tried = [(method, path) for method, path in CALLS if "{id}" in path]
    assert {path.split("/")[2] for _, path in tried} == set(ids)
    for method, path in tried:
        url = path.replace("{id}", ids[path.split("/")[2]])
        sent = dict(CALLS[method, path].body or {}) or None
        answer = await locked.http.request(method, url, json=sent, headers=shown("key-of-three"))
        assert answer.status_code == 404, (method, url, answer.text)
        assert "secret" not in answer.text
    there = (await locked.get("/v1/tasks/mine")).json()
    assert (there["status"], there["attempts"]) == ("running", 1), "nothing came of any of it"


async def test_another_tenants_ids_lead_nowhere(locked: Site) -> None:
    made = await locked.post("/v1/tasks", {"tasks": [{"id": "mine", "prompt": "secret"}], "batch": "night"})
    assert made.status_code == 202, made.text
    file = (await locked.openai.files.create(file=("in.jsonl", LINE), purpose="batch")).id
    batch = (await locked.post("/v1/batches", asked_of(file))).json()["id"]
    other = shown("key-of-two")
    for path in (
        *("/v1/tasks/mine", "/v1/tasks/mine/status", "/v1/tasks/mine/result?wait=0", "/v1/tasks/mine/events"),
        *(f"/v1/files/{file}", f"/v1/files/{file}/content", f"/v1/batches/{batch}"),
    ):
        answer = await locked.get(path, headers=other)
        assert answer.status_code == 404, (path, answer.text)
        assert "secret" not in answer.text
    for path in ("/v1/tasks/mine/cancel", f"/v1/batches/{batch}/cancel"):
        assert (await locked.post(path, {}, headers=other)).status_code == 404
    assert (await locked.http.delete(f"/v1/files/{file}", headers=other)).status_code == 404
    assert (await locked.post("/v1/batches", asked_of(file), headers=other)).status_code == 404
    looked = await locked.post("/v1/tasks/lookup", {"ids": ["mine"]}, headers=other)
    assert looked.json()["data"] == [None]
    await locked.post("/v1/tasks/cancel", {"ids": ["mine"]}, headers=other)
    for path in ("/v1/files", "/v1/batches", "/v1/tasks?batch=night"):
        listed = await locked.get(path, headers=other)
        assert listed.json()["data"] == [], path
    taken = await locked.post("/v1/tasks", {"id": "mine", "prompt": "theirs"}, headers=other)
    assert taken.status_code == 409
    assert "secret" not in taken.text
    there = await locked.get("/v1/tasks/mine")
    assert (there.json()["status"], there.json()["tenant"]) == ("pending", "one"), "nothing came of any of it"
    assert (await locked.get(f"/v1/batches/{batch}")).json()["status"] in ("validating", "in_progress")


def asked_of(file: str) -> dict[str, str]:
    return {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
