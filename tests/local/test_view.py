"""What a person sees of a running `up`: on a terminal, in a log, and as JSON."""

import dataclasses
import io
import json

import pytest
from rich.console import Console

from taskfleet.local.snapshot import EndpointView, QueueView, Snapshot
from taskfleet.local.view import JsonView, LiveView, PlainView

QUEUE = QueueView(
    queue="default/demo",
    pending=40,
    running=8,
    completed=152,
    failed=3,
    rate=12.5,
    oldest_seconds=61.0,
    seconds_left=3.84,
    note="",
)
ENDPOINT = EndpointView(
    queue="default/demo",
    pool="pool",
    endpoint="local-llm",
    healthy=True,
    workers=2,
    ready=1,
    inflight=8,
    latency_seconds=0.64,
    note="48 tasks, 640ms a task",
)
BUSY = Snapshot((QUEUE,), (ENDPOINT,), store_error="", enqueued=203, failed=3)


def moved(**changes: object) -> Snapshot:
    queue = QueueView(**{name: changes.get(name, getattr(QUEUE, name)) for name in QueueView.__slots__})  # type: ignore[arg-type]  # the fields fit
    return Snapshot((queue,), BUSY.endpoints, "", BUSY.enqueued, BUSY.failed)


def live(*, width: int = 120, environment: dict[str, str] | None = None) -> tuple[LiveView, io.StringIO]:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, height=40, _environ=environment or {})
    return LiveView(console), screen


def test_a_terminal_shows_queues_endpoints_and_events() -> None:
    view, screen = live()
    view.show(BUSY)
    view.tell("pool pool: local-llm from 0 to 2 workers")
    view.close()
    text = screen.getvalue()
    for part in ("default/demo", "40", "152", "12.5", "1m1s", "3.8s", "local-llm", "healthy", "640ms"):
        assert part in text
    assert "from 0 to 2 workers" in text
    assert "48 tasks, 640ms a task" in text


def test_a_terminal_shows_only_the_last_events() -> None:
    view, screen = live()
    for number in range(20):
        view.tell(f"event {number};")
    view.close()
    last = screen.getvalue().rpartition("event 12;")[2]
    assert "event 19;" in last
    assert "event 11;" not in last


def test_a_narrow_terminal_is_no_trouble() -> None:
    view, screen = live(width=60)
    view.show(BUSY)
    view.tell("x" * 200)
    view.close()
    assert "default/demo" in screen.getvalue()


def test_no_color_is_honoured() -> None:
    view, screen = live(environment={"NO_COLOR": "1"})
    view.show(BUSY)
    view.close()
    assert "\x1b[31m" not in screen.getvalue()
    view, screen = live(environment={"TERM": "xterm"})
    view.show(BUSY)
    view.close()
    assert "\x1b[31m" in screen.getvalue(), "failed tasks are red"


def test_a_store_that_is_away_and_a_queue_that_stands_still_say_so() -> None:
    view, screen = live()
    view.show(Snapshot((QUEUE,), (), "the store cannot be reached", 203, 3))
    view.show(moved(note="no endpoint serves the model small"))
    view.close()
    assert "the store cannot be reached; last values are shown" in screen.getvalue()
    assert "no endpoint serves the model small" in screen.getvalue()


class Plain:
    """A plain view with a clock to turn by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stream = io.StringIO()
        self.view = PlainView(self.stream, clock=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        return [line.partition(" ")[2] for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def plain() -> Plain:
    return Plain()


def test_a_log_gets_a_line_when_numbers_moved_and_not_more_often_than_every_few_seconds(plain: Plain) -> None:
    plain.view.show(BUSY)
    plain.view.show(moved(pending=39))
    assert plain.lines == [
        "default/demo: 40 pending, 8 running, 152 done, 3 failed, 12.5/s, 3.8s left; 2 workers",
    ]
    plain.now += 5
    plain.view.show(BUSY)
    assert len(plain.lines) == 1, "nothing moved since the last line"
    plain.view.show(moved(pending=30))
    assert plain.lines[1].startswith("default/demo: 30 pending")
    plain.view.tell("an event comes at once")
    assert plain.lines[2] == "an event comes at once"
    plain.view.show(moved(pending=0), last=True)
    assert plain.lines[3].startswith("default/demo: 0 pending"), "and so do the last numbers"


def test_a_log_counts_the_workers_of_each_queue_for_itself(plain: Plain) -> None:
    other = dataclasses.replace(ENDPOINT, queue="default/other", workers=1)
    queues = (QUEUE, dataclasses.replace(QUEUE, queue="default/other"))
    plain.view.show(dataclasses.replace(BUSY, queues=queues, endpoints=(ENDPOINT, other)))
    assert [line.rpartition("; ")[2] for line in plain.lines] == ["2 workers", "1 worker"]


def test_a_log_has_no_escape_codes(plain: Plain) -> None:
    plain.view.show(BUSY)
    plain.view.tell("text")
    assert "\x1b" not in plain.stream.getvalue()


def test_json_lines_come_when_something_changed() -> None:
    stream = io.StringIO()
    view = JsonView(stream)
    view.show(BUSY)
    view.show(BUSY)
    view.tell("hello")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["snapshot"]["queues"][0]["pending"] == 40
    assert first["snapshot"]["endpoints"][0]["healthy"] is True
    assert second["event"] == "hello"


class Closed(io.StringIO):
    """A pipe whose reader has gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("kind", [PlainView, JsonView])
def test_a_reader_that_went_away_is_noticed_and_raises_nothing(kind: type[PlainView] | type[JsonView]) -> None:
    view = kind(Closed())
    assert not view.gone
    view.tell("hello")
    view.show(BUSY, last=True)
    assert view.gone
