"""``taskfleet result``: what tasks came to, on stdout or in a file."""

from collections.abc import AsyncIterator
from pathlib import Path

import click
import orjson

from taskfleet.api.resultline import result_line
from taskfleet.cli.lookup import as_iterator, find_batch, find_tasks
from taskfleet.cli.options import batch_option, one_of, output_option, queue_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.resultfile import Tally, check_out, summary_numbers, tasks, whole_file, write_results
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.task import TaskState, TaskView
from taskfleet.store import Store

EPILOG = """
\b
A result line, also printed by -o json:
  {"id", "status", "output", "error", "attempts", "model", "endpoint", "usage",
   "queue_seconds", "run_seconds", "metadata"}
Exit code 0 when all completed, 1 when some failed, were cancelled or expired, 3 when some are not finished.

\b
Examples:
  taskfleet result t-1
  taskfleet result --batch 6a41b2c0-91fe --out results.jsonl
  taskfleet result --batch 6a41b2c0-91fe -o json | jq .output
"""


@click.command(epilog=EPILOG)
@click.argument("ids", nargs=-1)
@batch_option("Results of this batch, in input order.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Save them as JSONL in this file.")
@queue_option
@target_options
@output_option
def result(
    ids: tuple[str, ...],
    batch: str | None,
    out: Path | None,
    queue: str | None,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """Print the results of tasks IDS, or of a whole batch, or save them in a file."""
    one_of(ids, batch)
    check_out(out)
    target = find_target(data, namespace)
    return run_async(_result(target, queue, ids, batch, out, output))


async def _result(
    target: Target, queue: str | None, ids: tuple[str, ...], batch: str | None, out: Path | None, output: Output
) -> int:
    async with open_store(target) as store:
        views = await _views(store, target, queue, ids, batch)
        if out is not None:
            with whole_file(out) as file:
                tally = await write_results(views, file)
            output.result(summary_numbers(tally, out), f"{tally.summary()}; results in {out}")
        else:
            tally = await _print(views, output, alone=len(ids) == 1)
    for cause in tally.causes():
        output.remark(f"  {cause}")
    if tally.unfinished:
        output.remark(f"{tasks(tally.unfinished)} of {tally.total} not finished yet; ask again later")
    return tally.exit_code


async def _views(
    store: Store, target: Target, queue: str | None, ids: tuple[str, ...], batch: str | None
) -> AsyncIterator[TaskView]:
    if batch is not None:
        key, _ = await find_batch(store, target, queue, batch)
        return store.batch_tasks(key, batch)
    found = await find_tasks(store, target, queue, ids)
    return as_iterator([view for _, view in found.values()])


async def _print(views: AsyncIterator[TaskView], output: Output, *, alone: bool) -> Tally:
    """For people: the plain output of one task, a line with id and state for each of many."""
    tally = Tally()
    async for view in views:
        tally.add(view)
        if output.as_json:
            output.json_line(result_line(view))
        elif not alone:
            click.echo(f"{view.id}\t{view.state.value}\t{_one_line(view)}")
        elif view.state is TaskState.COMPLETED:
            click.echo(_text(view))
        elif view.state.is_final and view.error is None:
            output.remark(f"task {view.id} was {view.state.value}")
    return tally


def _text(view: TaskView) -> str:
    return view.output if isinstance(view.output, str) else orjson.dumps(view.output).decode()


def _one_line(view: TaskView) -> str:
    if view.state is TaskState.COMPLETED:
        return " ".join(_text(view).split())
    return "" if view.error is None else " ".join(f"{view.error.code}: {view.error.message}".split())
