"""Webhooks: signed so that OpenAI's client believes them, told again until they are taken, each by one gateway, and
never to an address inside the network."""

import asyncio
import base64
import json
import re
import ssl
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from openai import OpenAI

from taskfleet.api.webhooks import Webhook
from taskfleet.core import webhooks as rules
from taskfleet.core.errors import InputError
from taskfleet.core.settlement import Settlement, Verdict
from taskfleet.core.task import NewTask, QueueKey
from taskfleet.gateway import webhooks
from taskfleet.gateway.service import GatewayOptions
from taskfleet.gateway.webhookbook import read_webhooks
from taskfleet.gateway.webhookpost import NotDelivered, Poster
from taskfleet.store import keys as names
from taskfleet.store.deliveries import Delivery
from tests.gateway.conftest import opened
from tests.gateway.test_guide import GUIDE
from tests.support.waiting import eventually
from tests.support.work import Work

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass
class Receiver:
    """What is posted is kept, and answered with the next of ``answers``, at last 204."""

    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def taken(self) -> list[Any]:
        """As OpenAI's client reads it: a signature that is wrong is an error."""
        client = OpenAI(api_key="none")
        return [client.webhooks.unwrap(body.decode(), headers, secret=SECRET) for headers, body in self.got]

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"Location": "/elsewhere"} if status == 302 else {})


@pytest.fixture
def receiver(runner: asyncio.Runner) -> Iterator[Receiver]:
    found = Receiver()
    app = web.Application()
    app.router.add_post("/{path:.*}", found.answer)
    serving = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def start() -> None:
        await serving.setup()
        site = web.TCPSite(serving, "127.0.0.1", 0)
        await site.start()
        found.url = f"http://localhost:{serving.addresses[0][1]}/hook"

    runner.run(start())
    yield found
    runner.run(serving.cleanup())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(rules, "_PAUSES", (0.01, 0.02))


def hook(receiver: Receiver, **more: Any) -> dict[str, Any]:
    events = [event.value for event in rules.WebhookEvent]
    return {"name": "team", "url": receiver.url, "secret": SECRET, "events": events, "allowPrivate": True, **more}


def told_to(options: GatewayOptions, *hooks: dict[str, Any]) -> GatewayOptions:
    path = options.files.parent / "webhooks.yaml"
    path.write_text(json.dumps({"webhooks": hooks}))
    return replace(options, webhooks=path)


async def heard(work: Work) -> None:
    """What ends from now on is kept."""
    (place,) = await work.store._parts(work.queue)

    async def kept() -> bool:
        return bool(await work.store._connection.call("EXISTS", names.key(place, "endings")))

    await eventually(kept, "a gateway to ask for what ends")


async def end(work: Work, name: str, **more: Any) -> None:
    await work.store.submit(work.queue, [replace(NewTask(name, "stub", b'{"messages": []}'), **more)])
    (task,) = (await work.store.claim(work.queue, "me", ["stub"], 1)).tasks
    await work.store.settle(work.queue, [Settlement(task.id, task.fence, Verdict.COMPLETE, output="x")])


async def test_two_gateways_tell_of_each_end_once_and_signed(
    options: GatewayOptions, work: Work, receiver: Receiver
) -> None:
    await work.open()
    hooked = told_to(options, hook(receiver, queues=[str(work.queue)]))
    async with opened(hooked, work) as one, opened(hooked, work):
        await heard(work)
        for number in range(20):
            await end(work, f"t{number}", tenant="gold")
        file = await one.openai.files.create(file=("in.jsonl", b"not a request\n"), purpose="batch")
        batch = await one.openai.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="1h"
        )
        await eventually(lambda: len(receiver.got) >= 21, "all ends to be told")
        # One more is told after all others: what came twice would be there by then.
        await end(work, "last")
        await eventually(lambda: any(event.data.id == "last" for event in receiver.taken), "the last one")
    told = [(event.type, event.data.id) for event in receiver.taken]
    expected = [*(("task.completed", f"t{number}") for number in range(20)), ("task.completed", "last")]
    assert Counter(told) == Counter([*expected, ("batch.failed", batch.id)])
    event = json.loads(next(body for _, body in receiver.got if b'"t0"' in body))
    assert event["object"] == "event"
    assert event["data"] == {
        "id": "t0",
        "queue": str(work.queue),
        "tenant": "gold",
        "batch": None,
        "session": None,
    }


async def test_what_ended_while_no_gateway_was_there_is_told_by_the_next(
    options: GatewayOptions, work: Work, receiver: Receiver
) -> None:
    await work.open()
    hooked = told_to(options, hook(receiver, queues=[str(work.queue)]))
    async with opened(hooked, work):
        await heard(work)
    await end(work, "alone")
    assert receiver.got == []
    async with opened(hooked, work):
        await eventually(lambda: receiver.got, "the next gateway to tell")
    assert [event.data.id for event in receiver.taken] == ["alone"]


async def test_a_delivery_that_nobody_finished_is_anothers_and_one_that_is_done_is_nobodys(work: Work) -> None:
    await work.open()
    deliveries, delivery = work.store.deliveries, Delivery("team", "evt_1", {"id": "evt_1"})
    await deliveries.add(work.queue, [delivery, delivery])
    ((place, taken),) = await deliveries.take(work.queue, "team", 9, 0.2)
    assert taken == delivery
    assert await deliveries.take(work.queue, "team", 9, 0.2) == [], "it is somebody's"

    async def again() -> list[tuple[QueueKey, Delivery]]:
        return await deliveries.take(work.queue, "team", 9, 60.0)

    assert await eventually(again, "it to be due again") == [(place, delivery)]
    await deliveries.done(place, delivery)
    await deliveries.put_off(place, delivery, 0.0)  # by the first one, who comes late
    assert await again() == []


@pytest.mark.parametrize(("answer", "why"), [(500, "it answered 500"), (302, "redirects are not followed")])
async def test_what_is_not_taken_is_told_again_under_the_same_id_and_given_up_at_last(
    options: GatewayOptions,
    work: Work,
    receiver: Receiver,
    caplog: pytest.LogCaptureFixture,
    answer: int,
    why: str,
) -> None:
    await work.open()
    receiver.answers = [answer, answer, 204, answer, answer, answer]
    async with opened(told_to(options, hook(receiver, queues=[str(work.queue)])), work) as site:
        await heard(work)
        for name in ("taken", "lost"):
            await end(work, name)
            await eventually(lambda: len(receiver.got) in (3, 6), "three attempts", timeout=10)

        async def counted() -> str:
            return (await site.get("/metrics")).text

        async def given_up() -> bool:
            return 'taskfleet_gateway_webhooks_total{outcome="given_up"} 1.0' in await counted()

        await eventually(given_up, "it to be given up")
        assert 'outcome="delivered"} 1.0' in await counted()
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert len(set(ids[:3])) == len(set(ids[3:])) == 1
    assert ids[0] != ids[3]
    assert {body for headers, body in receiver.got if headers["webhook-id"] == ids[0]} == {receiver.got[0][1]}
    assert why in " ".join(str(vars(each)) for each in caplog.records)


async def test_nothing_is_told_to_an_address_inside_unless_that_is_allowed(
    options: GatewayOptions, work: Work, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    await work.open()
    inside = hook(receiver, queues=[str(work.queue)], allowPrivate=False)
    port = receiver.url.rsplit(":", 1)[1]
    literal = {**inside, "name": "literal", "url": f"http://[::ffff:127.0.0.1]:{port}"}
    odd = {**inside, "name": "odd", "url": f"http://0x7f.1:{port}"}
    async with opened(told_to(options, inside, literal, odd), work):
        await heard(work)
        await end(work, "secret")

        def refused() -> bool:
            said = {vars(each).get("webhook") for each in caplog.records if "is given up" in each.getMessage()}
            return said == {"team", "literal", "odd"}

        await eventually(refused, "all three to be given up")
    assert receiver.got == []
    assert "no address of the internet; allowPrivate: true would allow it" in str([vars(e) for e in caplog.records])


async def test_a_receiver_is_who_its_certificate_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is called by its address."""
    authority, found = trustme.CA(), Receiver()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    poster, app = Poster(), web.Application()
    app.router.add_post("/hook", found.answer)
    serving = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await serving.setup()
    for name in ("localhost", "elsewhere.example"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(context)
        await web.TCPSite(serving, "127.0.0.1", 0, ssl_context=context).start()
    right, wrong = (address[1] for address in serving.addresses)
    told = Webhook.model_validate(hook(Receiver(url=f"https://localhost:{right}/hook")))
    await poster.post(told, "evt_1", {"id": "evt_1"})
    ((headers, _),) = found.got
    assert headers["Host"] == f"localhost:{right}"
    with pytest.raises(NotDelivered, match="CERTIFICATE_VERIFY_FAILED"):
        await poster.post(told.model_copy(update={"url": f"https://localhost:{wrong}/hook"}), "evt_1", {})
    await poster.close()
    await serving.cleanup()


def test_the_guides_file_of_webhooks_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(webhooks:.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    (tmp_path / "webhooks.yaml").write_text(block)
    (told,) = read_webhooks(tmp_path / "webhooks.yaml")
    assert told.wants(rules.WebhookEvent.TASK_FAILED, QueueKey("default", "demo"), "team-a")
    assert not told.wants(rules.WebhookEvent.TASK_FAILED, QueueKey("default", "demo"), "team-b")


async def test_without_webhooks_nothing_is_kept(options: GatewayOptions, work: Work) -> None:
    await work.open()
    async with opened(options, work):
        await end(work, "quiet")
    assert not await work.store._connection.call("EXISTS", names.key(work.queue, "endings"))


GOOD = {"name": "team", "url": "https://example.org/hook", "secret": SECRET, "events": ["task.failed"]}


@pytest.mark.parametrize(
    ("hooks", "says"),
    [
        ([{**GOOD, "url": "ftp://example.org"}], "webhooks.0.url"),
        ([{**GOOD, "url": "https://me:word@example.org"}], "webhooks.0.url"),
        ([{**GOOD, "secret": "hush"}], "openssl rand -base64 32"),
        ([{**GOOD, "events": ["task.started"]}], "webhooks.0.events.0"),
        ([{**GOOD, "events": []}], "webhooks.0.events"),
        ([{**GOOD, "queues": ["demo"]}], "webhooks.0.queues.0"),
        ([{**GOOD, "colour": "red"}], "webhooks.0.colour"),
        ([GOOD, GOOD], "two are called 'team'"),
    ],
)
def test_a_file_of_webhooks_that_is_wrong_is_named_without_its_secrets(
    tmp_path: Path, hooks: list[dict[str, Any]], says: str
) -> None:
    (tmp_path / "webhooks.yaml").write_text(json.dumps({"webhooks": hooks}))
    with pytest.raises(InputError, match=r"^webhooks: ") as caught:
        read_webhooks(tmp_path / "webhooks.yaml")
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_attempts_go_on_for_three_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    pauses = []
    while (pause := rules.pause_before(len(pauses) + 2, 0.5)) is not None:
        pauses.append(pause)
    assert pauses == sorted(pauses)
    assert 72 <= sum(pauses) / 3600 <= 96
    assert rules.pause_before(2, 0.0) != rules.pause_before(2, 1.0)
