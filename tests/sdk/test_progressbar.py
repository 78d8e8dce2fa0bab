"""The bar of a run over a dataset, drawn where somebody can see it and nowhere else. Notebooks: test_notebook.py."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import asyncio, sys
from taskfleet import ParallelTaskQueue
async def picky(task):
    assert task.prompt != "bad"
    return task.prompt
async def main():
    async with ParallelTaskQueue(handler=picky, policy={"retry": {"maxAttempts": 1}}) as queue:
        await queue.process_dataset(["a", "bad", "b"], progress={"none": None, "yes": True, "no": False}[sys.argv[1]])
asyncio.run(main())
"""


def drawn(progress: str, *, terminal: bool) -> tuple[str, str]:
    """What such a run writes to stdout, and to stderr, which is a terminal or a pipe."""
    ours, theirs = os.openpty() if terminal else os.pipe()
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, progress],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    said = b""
    while piece := read(ours):
        said += piece
    out, _ = script.communicate(timeout=60)
    os.close(ours)
    assert script.returncode == 0, said
    return out.decode(), said.decode()


def read(end: int) -> bytes:
    try:
        return os.read(end, 65536)
    except OSError:  # how a terminal says that its other end is closed
        return b""


@pytest.mark.parametrize(
    ("progress", "terminal", "is_drawn"),
    [("none", True, True), ("none", False, False), ("yes", False, True), ("no", True, False)],
)
def test_a_bar_is_drawn_in_a_terminal_or_where_it_is_asked_for(progress: str, terminal: bool, is_drawn: bool) -> None:
    out, said = drawn(progress, terminal=terminal)
    assert out == ""
    assert ("3/3" in said, "1 failed" in said) == (is_drawn, is_drawn)
    assert is_drawn or said == ""
