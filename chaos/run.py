"""One run: the parts put together, the troubles, the wait for the last task, and the evidence of what happened."""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from chaos import lateness
from chaos.checks import Evidence
from chaos.crew import Seat, draw_clock
from chaos.history import History
from chaos.link import Link
from chaos.model import ModelServer
from chaos.monkey import Monkey
from chaos.options import Options
from chaos.reruns import reruns
from chaos.storeserver import StoreServer, store_server
from chaos.submitters import Submitter
from chaos.witness import Witness
from taskfleet.core.task import QueueKey, TaskView
from taskfleet.store import Store
from tests.store.inside import assert_consistent
from tests.support.waiting import eventually
from tests.support.workerprocess import quick_policy

QUEUE = QueueKey("chaos", "run")
SUBMITTERS = 4
ENOUGH_WAITING = 800  # submitters go on for as long as the run does, and not far ahead of the workers
LAST_TASK_SECONDS = 180.0
TELL_EVERY_SECONDS = 10.0
POLICY = {"taskTimeout": "60s", "retry": {"maxAttempts": 50, "initialDelay": "100ms", "maxDelay": "1s"}}

Tell = Callable[[str], None]


@dataclass(slots=True)
class Site:
    """Everything that runs."""

    history: History
    server: StoreServer
    store: Store
    links: list[Link]
    model: ModelServer
    seats: list[Seat]
    witness: Witness


async def run(options: Options, tell: Tell) -> Evidence:
    """A whole run. Raises AssertionError, with what was awaited, when something never comes."""
    rng = random.Random(options.seed)
    async with _site(options, rng) as site:
        await _trouble(site, options, rng, tell)
        tell("no more troubles; waiting for the last tasks")
        unended = await _until_done(site, options)
        for seat in site.seats:
            if not unended and (words := await seat.end()):
                site.history.ended_by_themselves.append(words)
        tell("reading every task, counter and set")
        return await _evidence(site, options)


@asynccontextmanager
async def _site(options: Options, rng: random.Random) -> AsyncIterator[Site]:
    history = History()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskfleet-chaos-")))
        server = stack.enter_context(store_server(folder, options.fsync))
        model = ModelServer(history, random.Random(options.seed), slow=1.5 * options.lease)
        await model.start()
        stack.push_async_callback(model.stop)
        store = await Store.connect(server.url)
        stack.push_async_callback(store.close)
        await store.put_policy(QUEUE, quick_policy(leaseDuration=f"{round(options.lease * 1000)}ms", **POLICY))
        links = [Link(server.port) for _ in range(SUBMITTERS + options.workers)]
        for link in links:
            await link.start()
            stack.push_async_callback(link.stop)
        seats = [Seat(number, link, QUEUE, model, history) for number, link in enumerate(links[SUBMITTERS:], 1)]
        for seat in seats:
            stack.callback(seat.abandon)
        await asyncio.gather(*(seat.start(draw_clock(rng)) for seat in seats))
        yield Site(history, server, store, links[:SUBMITTERS], model, seats, Witness(store, QUEUE, model))


async def _trouble(site: Site, options: Options, rng: random.Random, tell: Tell) -> None:
    """Submitters and the monkey, until enough was accepted, every kind of trouble was met, and all are over."""
    history = site.history
    monkey = Monkey(
        rng=rng, history=history, seats=site.seats, submitters=site.links, store=site.server, model=site.model,
        witness=site.witness, lease=options.lease, pause=options.pause,
    )  # fmt: skip

    enough = min(ENOUGH_WAITING, options.tasks)

    def more() -> int | None:
        left = options.tasks - len(history.accepted)
        if left <= 0 and monkey.decks:
            return None
        return max(0, enough - (history.submitted - site.model.answered))

    stores = [await Store.connect(f"valkey://127.0.0.1:{link.port}") for link in site.links]
    try:
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(part)
                for part in (
                    site.witness.run(),
                    site.server.watch(),
                    lateness.notice(history, site.seats),
                    _progress(history, site.model, options, tell),
                )
            ]
            troubles = group.create_task(monkey.run())
            async with asyncio.TaskGroup() as submitting:
                for number, store in enumerate(stores):
                    submitter = Submitter(
                        number, store, QUEUE, history, random.Random(f"{options.seed} {number}"), more
                    )
                    submitting.create_task(submitter.run())
            monkey.stop()
            await troubles
            for task in background:
                task.cancel()
    finally:
        for store in stores:
            await store.close()


async def _progress(history: History, model: ModelServer, options: Options, tell: Tell) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(TELL_EVERY_SECONDS)
        told = ", ".join(f"{count} x {kind.value}" for kind, count in history.counted().items() if count)
        seconds = time.monotonic() - began
        tell(f"{seconds:6.1f} s  {len(history.accepted)} of {options.tasks} accepted, {model.answered} answers; {told}")


async def _until_done(site: Site, options: Options) -> bool:
    """Wait until nothing waits or runs; whether that never came."""

    async def idle() -> bool:
        stats = await site.store.stats(QUEUE)
        return stats is not None and not (stats.pending or stats.scheduled or stats.running)

    try:
        await eventually(idle, "the last task", timeout=LAST_TASK_SECONDS + 3 * options.lease)
    except AssertionError:
        return True  # the tasks will be found to have no end, by name
    return False


async def _evidence(site: Site, options: Options) -> Evidence:
    history = site.history
    names = [*history.accepted, *(name for submission in history.unknown for name in submission.ids)]
    views: dict[str, TaskView | None] = dict(zip(names, await site.store.get(QUEUE, names), strict=True))
    try:
        await assert_consistent(site.store, QUEUE)
        census = ""
    except AssertionError as error:
        census = str(error).replace("\n", " ")[:2000] or "a counter or set, see assert_consistent"
    return Evidence(
        history=history,
        views=views,
        reruns=list(reruns(history, views)),
        changed=site.witness.changed(views),
        census=census,
        lease=options.lease,
        loses_power=options.fsync == "everysec",
    )
