"""A progress bar for a terminal or a notebook; elsewhere (a log file, a pipe) nothing is drawn."""

import sys
from importlib.util import find_spec
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """``wanted``: None draws where somebody can see it, True always, False never."""

    def __init__(self, text: str, total: int | None, wanted: bool | None) -> None:
        console = Console(stderr=True)
        if console.is_jupyter and find_spec("ipywidgets") is None:
            # Without widgets rich can only warn; a notebook shows a line that is written over as well.
            console = Console(file=sys.stdout, force_jupyter=False, force_terminal=True, width=100)
        seen = console.is_terminal or console.is_jupyter
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (seen if wanted is None else wanted),
            refresh_per_second=4,
        )
        self._task = self._bar.add_task(text, total=total, rate="")

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.refresh()  # a notebook's widget keeps what it showed last: rich draws the end only in terminals
        self._bar.stop()

    def show(self, done: int, failed: int, total: int | None) -> None:
        if self._bar.disable:
            return
        speed = self._bar.tasks[self._task].speed
        words = [f"{speed:.1f}/s" if speed else "", f"{failed} failed" if failed else ""]
        self._bar.update(self._task, completed=done, total=total, rate=" ".join(filter(None, words)))
