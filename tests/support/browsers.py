"""The browser of this machine, where it has one; and those that run below a process, and nobody else's."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfleet.providers.tools import chromium

needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, chromium._PROGRAMS)), reason="Chromium is not installed: nothing of the browser is tested"
)


def browsers_below(ancestor: int) -> Iterator[int]:
    """Chromium's main processes; those that each of them starts have a type."""
    for process, words in _below(ancestor):
        ours = any(b"--proxy-bypass-list" in word for word in words)  # which the tool gives to each
        if ours and not any(b"--type=" in word for word in words):
            yield process


def drivers_below(ancestor: int) -> Iterator[int]:
    """Playwright's own programs, which start the browsers."""
    return (process for process, words in _below(ancestor) if b"run-driver" in words)


def _below(ancestor: int) -> Iterator[tuple[int, list[bytes]]]:
    """The processes that it started, or that those started, and their command lines."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        process = int(file.parent.name)
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:  # it has ended
            continue
        if ancestor in _above(process):
            yield process, words


def _above(process: int) -> list[int]:
    """The processes that started it, the nearest first."""
    found: list[int] = []
    try:
        while process > 1:
            process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
            found.append(process)
    except OSError:
        pass  # it has ended
    return found
