"""``taskfleet status ID --watch``: what is told of a task, as it comes, to its end."""

from collections.abc import Mapping
from typing import Any

import click

from taskfleet.cli.handout import harmless
from taskfleet.cli.output import Output
from taskfleet.cli.progress import in_words
from taskfleet.core.events import EventKind, Progress, TaskEvent
from taskfleet.core.task import QueueKey
from taskfleet.store import Store


async def follow(store: Store, queue: QueueKey, task_id: str, output: Output) -> None:
    """Each event as a JSON line; for people the answer as it is said, and the rest in words on lines of their own."""
    inside_a_line = False
    async for event in store.events(queue, task_id):
        if output.as_json:
            output.json_line({"id": event.id, "kind": event.kind.value, "at": event.at, "data": event.data})
            continue
        text = _said(event.data) if event.kind is EventKind.CHUNK else ""
        if text:
            click.echo(harmless(text), nl=False)
            inside_a_line = not text.endswith("\n")
        elif event.kind is not EventKind.CHUNK:
            click.echo(("\n" if inside_a_line else "") + harmless(_in_words(event)))
            inside_a_line = False


def _said(chunk: Mapping[str, Any]) -> str:
    """The text of the first answer: a person asked for one."""
    return "".join(choice["delta"].get("content") or "" for choice in chunk["choices"] if choice["index"] == 0)


def _in_words(event: TaskEvent) -> str:
    data = event.data
    match event.kind:
        case EventKind.STARTED | EventKind.RESTARTED:
            void = "; what came before is void" if event.kind is EventKind.RESTARTED else ""
            return f"-- attempt {data['attempt']} by {data['worker']}{void}"
        case EventKind.PROGRESS:
            return f"-- {in_words(Progress(**data))}"
        case EventKind.FINISHED:
            return f"-- {data['state']}"
        case _:
            return "-- some of what was told before is no longer kept"
