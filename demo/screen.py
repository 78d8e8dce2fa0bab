"""What the demo shows: a bar with rate and time left on a terminal, a line now and then elsewhere, and the table."""

import time
from collections.abc import Callable, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from demo.timeline import Moment
from taskfleet.core.quantities import format_duration

PLAIN_LINE_EVERY_SECONDS = 5.0


class Screen:
    """Where the demo's words go. Use it as a context: the bar is drawn until it ends."""

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._next_line = 0.0
        self._workers = 0
        self._finished = 0
        self._live = console.is_terminal and not console.is_dumb_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
            disable=not self._live,
        )
        self._bar = self._progress.add_task("reviews", total=None, visible=False, pace="")

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, soft_wrap=True)

    def __enter__(self) -> "Screen":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, moment: Moment, total: int) -> None:
        """The newest numbers: the bar, and a line when the number of workers changed."""
        if moment.workers != self._workers:
            self._line(moment, f"workers {self._workers} → {moment.workers}")
            self._workers = moment.workers
        pace = pace_of(moment, total)
        self._progress.update(self._bar, total=total, completed=moment.finished, visible=True, pace=pace)
        now = self._clock()
        if not self._live and moment.finished != self._finished and now >= self._next_line:
            self._next_line = now + PLAIN_LINE_EVERY_SECONDS
            self._line(moment, f"{moment.finished} of {total} done, {pace}")
        self._finished = moment.finished

    def table(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """The closing table."""
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="bold")
        table.add_column(style="green", no_wrap=True)
        table.add_column(style="dim")
        for row in rows:
            table.add_row(*row)
        self._console.print()
        self._console.print(table)
        self._console.print()

    def _line(self, moment: Moment, text: str) -> None:
        self.say(f"{max(0.0, moment.seconds):6.1f} s  {text}")


def pace_of(moment: Moment, total: int) -> str:
    """``4 workers, 8.1/s, 12s left``."""
    workers = f"{moment.workers} worker{'s' * (moment.workers != 1)}"
    if not moment.finished or moment.seconds <= 0:
        return workers
    rate = moment.finished / moment.seconds
    left = f", {format_duration((total - moment.finished) / rate)} left" if moment.finished < total else ""
    return f"{workers}, {rate:.1f}/s{left}"
