"""The monkey: draws one trouble after the other from a shuffled deck, so that also a short run meets every kind."""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

from chaos.crew import Seat, draw_clock
from chaos.history import MODEL, STORE, SUBMITTERS, History, Kind, Trouble
from chaos.link import Condition, Link
from chaos.model import ModelServer
from chaos.storeserver import StoreServer
from chaos.witness import Witness

WORKER_CARDS = [Kind.KILL] * 3 + [Kind.FREEZE] + [Kind.CUT, Kind.HOLD, Kind.DELAY, Kind.HALF_CLOSE]
OTHER_CARDS = [
    (Kind.CUT, SUBMITTERS),
    (Kind.HALF_CLOSE, SUBMITTERS),
    (Kind.HOLD, SUBMITTERS),
    (Kind.STORE_KILL, STORE),
    (Kind.STORE_KILL, STORE),
    (Kind.OUTAGE, MODEL),
]
CONDITIONS = {
    Kind.CUT: Condition.CUT,
    Kind.HOLD: Condition.SILENT,
    Kind.DELAY: Condition.SLOW,
    Kind.HALF_CLOSE: Condition.HALF_CLOSED,
}
LOOK_EVERY_SECONDS = 0.05


class Monkey:
    """At any moment at least half of the workers are well: what the others had must be done by someone.

    ``pause``: mean seconds between two troubles. ``decks``: how many were dealt to the end.
    """

    def __init__(
        self, *, rng: random.Random, history: History, seats: list[Seat], submitters: list[Link], store: StoreServer,
        model: ModelServer, witness: Witness, lease: float, pause: float,
    ) -> None:  # fmt: skip
        self._rng = rng
        self._history = history
        self._seats = seats
        self._submitters = submitters
        self._store = store
        self._model = model
        self._witness = witness
        self._lease = lease
        self._pause = pause
        self.decks = 0
        self._stopping = False
        self._store_is_down = False

    def stop(self) -> None:
        """No more troubles; ``run`` ends when those that are on have ended."""
        self._stopping = True

    async def run(self) -> None:
        async with asyncio.TaskGroup() as troubles:
            while not self._stopping:
                deck = [(kind, "") for kind in WORKER_CARDS] + OTHER_CARDS
                self._rng.shuffle(deck)
                for kind, of in deck:
                    await asyncio.sleep(self._rng.expovariate(1 / self._pause))
                    if self._stopping:
                        break
                    if of:
                        troubles.create_task(self._others(kind, of))
                    else:
                        seat = await self._healthy_seat()
                        seat.busy = True
                        troubles.create_task(self._worker(kind, seat))
                else:
                    self.decks += 1

    async def _healthy_seat(self) -> Seat:
        while True:
            healthy = [seat for seat in self._seats if not seat.busy]
            if 2 * (len(healthy) - 1) >= len(self._seats) - 1:
                return self._rng.choice(healthy)
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def _worker(self, kind: Kind, seat: Seat) -> None:
        if words := await seat.how_it_ended():
            self._history.ended_by_themselves.append(words)
            await seat.start(draw_clock(self._rng))
        if kind is Kind.KILL:
            self._history.troubles.append(await seat.kill())
            await seat.start(draw_clock(self._rng))
        elif kind is Kind.FREEZE:
            with self._trouble(kind, seat.name):
                await seat.freeze(self._lease * self._rng.uniform(1.1, 1.6))
        else:
            with self._trouble(kind, seat.name):
                await self._disturb(seat.link, kind)
        seat.busy = False

    async def _others(self, kind: Kind, of: str) -> None:
        if of == SUBMITTERS:
            with self._trouble(kind, of):
                await self._disturb(self._rng.choice(self._submitters), kind)
        elif of == MODEL:
            with self._trouble(kind, of):
                self._model.go_down()
                await asyncio.sleep(self._rng.uniform(0.2, 1.5))
                self._model.come_back()
        elif not self._store_is_down:
            self._store_is_down = True
            await self._kill_store()
            self._store_is_down = False

    async def _kill_store(self) -> None:
        with self._trouble(Kind.STORE_KILL, STORE) as trouble:
            trouble.began = await self._store.kill()
            self._witness.forget_since(trouble.began)
            await asyncio.sleep(self._rng.choice((0.0, 0.0, self._rng.uniform(0.1, 2.0))))
            await self._store.start()

    async def _disturb(self, link: Link, kind: Kind) -> None:
        link.become(CONDITIONS[kind], delay=self._rng.uniform(0.01, 0.3))
        await asyncio.sleep(self._rng.choice((0.2, self._lease * self._rng.uniform(0.5, 1.4))))
        link.become(Condition.GOOD)

    @contextmanager
    def _trouble(self, kind: Kind, of: str) -> Iterator[Trouble]:
        trouble = Trouble(kind, of, time.monotonic())
        self._history.troubles.append(trouble)
        yield trouble
        trouble.ended = time.monotonic()
