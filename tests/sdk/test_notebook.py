"""A run over a dataset in a notebook: cells are sent to a real Jupyter kernel, which says what a page would show."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

PICKY = """
async def picky(task):
    assert task.prompt != "bad"
    return task.prompt
OPTIONS = {"handler": picky, "policy": {"retry": {"maxAttempts": 1}}}
"""
CELLS = {
    "async": """
from taskfleet import ParallelTaskQueue
async with ParallelTaskQueue(**OPTIONS) as queue:
    results = await queue.process_dataset(["a", "bad", "b"])
""",
    "the sync twin": """
from taskfleet import SyncParallelTaskQueue
with SyncParallelTaskQueue(**OPTIONS) as queue:
    results = queue.process_dataset(["a", "bad", "b"])
""",
}
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(startup_timeout=60)
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def shown(kernel: BlockingKernelClient, cell: str) -> list[tuple[str, dict[str, Any]]]:
    """What the cell gives a page to show: kind and content of each message."""
    messages: list[dict[str, Any]] = []
    reply = kernel.execute_interactive(PICKY + cell, timeout=60, output_hook=messages.append)
    assert reply["content"]["status"] == "ok", reply["content"]
    return [(message["msg_type"], message["content"]) for message in messages]


@pytest.mark.parametrize("cell", CELLS)
def test_a_notebook_shows_the_bar_in_a_widget_until_all_is_done(kernel: BlockingKernelClient, cell: str) -> None:
    messages = shown(kernel, CELLS[cell])
    drawn = [content["data"] for kind, content in messages if kind == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" in drawn[0]
    last = [COLOURS.sub("", data["text/plain"]) for data in drawn if "dataset" in data["text/plain"]][-1]
    assert "3/3" in last
    assert "1 failed" in last
    assert not [content for kind, content in messages if kind == "stream"]


def test_a_notebook_without_widgets_gets_a_line_that_is_written_over(kernel: BlockingKernelClient) -> None:
    messages = shown(kernel, "import sys; sys.modules['ipywidgets'] = None" + CELLS["async"])
    said = COLOURS.sub("", "".join(content["text"] for kind, content in messages if kind == "stream"))
    assert said.rstrip().rpartition("\r")[2].startswith("dataset")
    assert "3/3" in said
    assert "1 failed" in said
    assert "ipywidgets" not in said
