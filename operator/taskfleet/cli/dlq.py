"""``taskfleet dlq``: the failed tasks of a queue, to look through, to bring back, or to remove."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from taskfleet.cli.options import output_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.resultfile import tasks
from taskfleet.cli.running import run_async
from taskfleet.cli.status import task_fields, task_lines
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.errors import NotFound
from taskfleet.core.settlement import DeadLetter
from taskfleet.core.task import QueueKey, TaskState
from taskfleet.core.wiretime import wire_time
from taskfleet.store import Store

F = TypeVar("F", bound=Callable[..., Any])
Act = Callable[[QueueKey, Sequence[str]], Awaitable[dict[str, str]]]

CHUNK = 200
WIDEST_MESSAGE = 80
EPILOG = """
\b
Examples:
  taskfleet dlq list demo
  taskfleet dlq show demo --id t-1
  taskfleet dlq redrive demo --error timeout
  taskfleet dlq purge demo --all
"""


@click.group(epilog=EPILOG)
def dlq() -> None:
    """Failed tasks (dead letters): list, inspect, redrive or purge them. They are kept for retention.failed."""


def _chosen(command: F) -> F:
    """``--id``, ``--error`` and ``--all``: which dead letters."""
    command = click.option("--all", "every", is_flag=True, help="All there are.")(command)
    command = click.option("--error", "code", metavar="CODE", help="Those that failed with this error code.")(command)
    return click.option("--id", "ids", multiple=True, metavar="ID", help="This one; may be repeated.")(command)


@dlq.command("list")
@click.argument("queue")
@click.option("--error", "code", metavar="CODE", help="Only those that failed with this error code.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="The oldest of them.")
@target_options
@output_option
def list_letters(
    queue: str, code: str | None, limit: int, data: Path | None, namespace: str | None, output: Output
) -> int:
    """List the dead letters of QUEUE, oldest first; with -o json one line for each."""
    target = find_target(data, namespace)
    letters, more = run_async(_first(target, target.queue(queue), code, limit))
    if output.as_json:
        for letter in letters:
            output.json_line(task_fields(target.queue(queue), letter.task) | {"failed_at": letter.failed_at})
    elif letters:
        output.table(f"dead letters of {target.queue(queue)}", ("id", "failed", "attempts", "error"), _rows(letters))
    else:
        click.echo("no dead letters")
    if more:
        output.remark(f"and more than these {limit}; see --limit")
    return 0


@dlq.command()
@click.argument("queue")
@click.option("--id", "task_id", required=True, metavar="ID", help="Id of the failed task.")
@target_options
@output_option
def show(queue: str, task_id: str, data: Path | None, namespace: str | None, output: Output) -> int:
    """Show one dead letter of QUEUE with its error and its messages."""
    target = find_target(data, namespace)
    key = target.queue(queue)

    async def ask() -> tuple[dict[str, Any], list[str]]:
        async with _opened(target, key) as store:
            (view,) = await store.get(key, [task_id])
            body = await store.body(key, task_id)
            if view is None or view.state is not TaskState.FAILED or body is None:
                raise _no_letter(key, task_id)
            return task_fields(key, view) | {"body": orjson.loads(body)}, task_lines(key, view)

    fields, lines = run_async(ask())
    body = orjson.dumps(fields["body"], option=orjson.OPT_INDENT_2).decode()
    output.result(fields, *lines, *body.splitlines())
    return 0


@dlq.command()
@click.argument("queue")
@_chosen
@target_options
@output_option
def redrive(queue: str, data: Path | None, namespace: str | None, output: Output, **chosen: Any) -> int:
    """Bring dead letters of QUEUE back: pending again, with all their attempts before them."""
    return _act(queue, find_target(data, namespace), output, "redriven", lambda store: store.redrive, **chosen)


@dlq.command()
@click.argument("queue")
@_chosen
@target_options
@output_option
def purge(queue: str, data: Path | None, namespace: str | None, output: Output, **chosen: Any) -> int:
    """Remove dead letters of QUEUE for good."""
    return _act(queue, find_target(data, namespace), output, "purged", lambda store: store.purge, **chosen)


def _act(
    queue: str,
    target: Target,
    output: Output,
    done: str,
    act_of: Callable[[Store], Act],
    *,
    ids: tuple[str, ...],
    code: str | None,
    every: bool,
) -> int:
    if (bool(ids), code is not None, every).count(True) != 1:
        raise click.UsageError("give --id, --error or --all, one of the three")
    key = target.queue(queue)

    async def work() -> int:
        number = 0
        async with _opened(target, key) as store:
            act = act_of(store)
            async for chunk in _of_ids(store, key, ids) if ids else _of_error(store, key, code):
                number += list((await act(key, chunk)).values()).count(done)
        return number

    number = run_async(work())
    output.result({"queue": str(key), done: number}, f"{tasks(number)} {done}")
    return 0


async def _of_ids(store: Store, key: QueueKey, ids: tuple[str, ...]) -> AsyncIterator[Sequence[str]]:
    for task_id, view in zip(ids, await store.get(key, ids), strict=True):
        if view is None or view.state is not TaskState.FAILED:
            raise _no_letter(key, task_id)
    yield ids


async def _of_error(store: Store, key: QueueKey, code: str | None) -> AsyncIterator[Sequence[str]]:
    chunk: list[str] = []
    async for letter in store.dead_letters(key):
        if _failed_with(letter, code):
            chunk.append(letter.task.id)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _first(target: Target, key: QueueKey, code: str | None, limit: int) -> tuple[list[DeadLetter], bool]:
    found: list[DeadLetter] = []
    async with _opened(target, key) as store:
        async for letter in store.dead_letters(key):
            if _failed_with(letter, code):
                if len(found) == limit:
                    return found, True
                found.append(letter)
    return found, False


def _failed_with(letter: DeadLetter, code: str | None) -> bool:
    return code is None or (letter.task.error is not None and letter.task.error.code == code)


def _rows(letters: Sequence[DeadLetter]) -> list[tuple[object, ...]]:
    return [
        (
            letter.task.id,
            wire_time(letter.failed_at),
            letter.task.attempts,
            _error_words(letter),
        )
        for letter in letters
    ]


def _error_words(letter: DeadLetter) -> str:
    error = letter.task.error
    words = "" if error is None else " ".join(f"{error.code}: {error.message}".split())
    return words if len(words) <= WIDEST_MESSAGE else f"{words[: WIDEST_MESSAGE - 3]}..."


def _no_letter(key: QueueKey, task_id: str) -> NotFound:
    return NotFound(f"there is no dead letter {task_id!r} in {key}; `taskfleet status {task_id}` says where it is")


@asynccontextmanager
async def _opened(target: Target, key: QueueKey) -> AsyncIterator[Store]:
    """The store, which has this queue."""
    async with open_store(target) as store:
        if await store.policy(key) is None:
            raise target.no_queue(key)
        yield store
