"""How ``up`` shows itself: a live picture on a terminal, plain lines elsewhere, JSON lines for programs."""

import dataclasses
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol, TextIO

import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from taskfleet.core.needs import count
from taskfleet.core.quantities import format_duration
from taskfleet.local.snapshot import EndpointView, QueueView, Snapshot

EVENTS_SHOWN = 8
PLAIN_LINE_EVERY_SECONDS = 5.0


class View(Protocol):
    """Where ``up`` shows what happens. ``tell`` takes one sentence, ``show`` the newest snapshot.

    The ``last`` one is shown however recent the one before it is.
    """

    gone: bool

    def tell(self, text: str) -> None: ...

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None: ...

    def close(self) -> None:
        """Leave the screen as it is, for good."""
        ...


class LiveView:
    """Redraws queues, endpoints and the last events in place."""

    gone = False  # a terminal that closes ends us by a signal

    def __init__(self, console: Console) -> None:
        self._events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._snapshot: Snapshot | None = None
        self._live = Live(console=console, auto_refresh=False, transient=False)
        self._live.start()

    def tell(self, text: str) -> None:
        self._events.append(f"{_clock_time()}  {text}")
        self._draw()

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        self._snapshot = snapshot
        self._draw()

    def close(self) -> None:
        self._live.stop()

    def _draw(self) -> None:
        parts: list[Table | Text] = []
        if self._snapshot is not None:
            parts.append(queue_table(self._snapshot))
            if self._snapshot.endpoints:
                parts.append(endpoint_table(self._snapshot))
            if self._snapshot.store_error:
                parts.append(Text(f"store: {self._snapshot.store_error}; last values are shown", style="red"))
            parts += [
                Text(f"{queue.queue}: {queue.note}", style="yellow") for queue in self._snapshot.queues if queue.note
            ]
        parts += [Text(event, style="dim", overflow="ellipsis", no_wrap=True) for event in self._events]
        self._live.update(Group(*parts), refresh=True)


def queue_table(snapshot: Snapshot) -> Table:
    """The queues as a table."""
    table = Table(expand=True, header_style="bold", box=SIMPLE_HEAD)
    table.add_column("queue", no_wrap=True)
    for column in ("pending", "running", "done", "failed", "per second", "oldest", "time left"):
        table.add_column(column, justify="right")
    for queue in snapshot.queues:
        failed = Text(str(queue.failed), style="red" if queue.failed else "")
        table.add_row(
            queue.queue,
            str(queue.pending),
            str(queue.running),
            str(queue.completed),
            failed,
            f"{queue.rate:.1f}",
            _duration(queue.oldest_seconds),
            _duration(queue.seconds_left),
        )
    return table


def endpoint_table(snapshot: Snapshot) -> Table:
    """The endpoints of all pools as a table."""
    table = Table(expand=True, header_style="bold", box=SIMPLE_HEAD)
    for column in ("pool", "endpoint", "health"):
        table.add_column(column, no_wrap=True)
    for column in ("workers", "ready", "running", "a task"):
        table.add_column(column, justify="right")
    table.add_column("why", ratio=1, overflow="ellipsis", no_wrap=True)
    for endpoint in snapshot.endpoints:
        table.add_row(
            endpoint.pool,
            endpoint.endpoint,
            Text(_health(endpoint), style="red" if endpoint.healthy is False else ""),
            str(endpoint.workers),
            str(endpoint.ready),
            str(endpoint.inflight),
            _duration(endpoint.latency_seconds),
            endpoint.note,
        )
    return table


class _Lines:
    """A stream of lines whose reader may go away."""

    def __init__(self, stream: TextIO) -> None:
        self.gone = False
        self._stream = stream

    def close(self) -> None:
        """Nothing is held."""

    def _line(self, text: str) -> None:
        if self.gone:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            self.gone = True


class PlainView(_Lines):
    """One line for each event, and one for each queue when its numbers moved, every few seconds at most."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._shown: dict[str, str] = {}
        self._next_line = 0.0

    def tell(self, text: str) -> None:
        self._line(f"{_clock_time()} {text}")

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        now = self._clock()
        if now < self._next_line and not last:
            return
        lines = {queue.queue: self._queue_line(queue, snapshot) for queue in snapshot.queues}
        if snapshot.store_error:
            lines["store"] = f"store: {snapshot.store_error}"
        for name, line in lines.items():
            if self._shown.get(name) != line:
                self._line(f"{_clock_time()} {line}")
                self._next_line = now + PLAIN_LINE_EVERY_SECONDS
        self._shown = lines

    @staticmethod
    def _queue_line(queue: QueueView, snapshot: Snapshot) -> str:
        workers = sum(endpoint.workers for endpoint in snapshot.endpoints if endpoint.queue == queue.queue)
        left = f", {_duration(queue.seconds_left)} left" if queue.seconds_left else ""
        note = f"; {queue.note}" if queue.note else ""
        return (
            f"{queue.queue}: {queue.pending} pending, {queue.running} running, {queue.completed} done, "
            f"{queue.failed} failed, {queue.rate:.1f}/s{left}; {count(workers, 'worker')}{note}"
        )


class JsonView(_Lines):
    """One JSON object a line: ``{"event": ...}``, and ``{"snapshot": ...}`` when something changed."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._shown: Snapshot | None = None

    def tell(self, text: str) -> None:
        self._object({"event": text})

    def show(self, snapshot: Snapshot, *, last: bool = False) -> None:
        if snapshot != self._shown:
            self._shown = snapshot
            self._object({"snapshot": dataclasses.asdict(snapshot)})

    def _object(self, data: dict[str, object]) -> None:
        self._line(orjson.dumps({"time": time.time(), **data}).decode())


def open_view(*, as_json: bool) -> View:
    """The view that fits stdout."""
    if as_json:
        return JsonView(sys.stdout)
    console = Console(highlight=False)
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(sys.stdout)


def _health(endpoint: EndpointView) -> str:
    return {True: "healthy", False: "unhealthy", None: "not probed"}[endpoint.healthy]


def _duration(seconds: float | None) -> str:
    return "-" if seconds is None else format_duration(seconds)


def _clock_time() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
