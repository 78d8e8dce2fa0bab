"""``taskfleet complete``: a claimed task is done."""

from pathlib import Path
from typing import Any

import click
import orjson

from taskfleet.cli.ending import end_task, whole_text
from taskfleet.cli.options import folder_option, namespace_option, output_option, queue_option
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.errors import InputError
from taskfleet.core.settlement import CurrentLease, QueuePolicy, Settlement, Verdict
from taskfleet.core.task import QueueKey, TaskView

MAX_BYTES = 32 * 2**20  # as of an answer of a model server
EPILOG = """
\b
The result's output is SUMMARY; with --data it is {"summary": SUMMARY, "data": JSON}. A task that somebody else has
claimed, or a runner that is gone, is ended as well. Exit code 4: no such task, 7: nobody has claimed it, 8: it has
ended already.

\b
Examples:
  taskfleet complete t-1 "Renamed it in 12 files"
  taskfleet complete t-1 "Renamed it" --data '{"files": 12}' -q chores
  taskfleet complete t-1 "Renamed it" --data @report.json
"""


@click.command(epilog=EPILOG)
@click.argument("task_id", metavar="ID")
@click.argument("summary")
@click.option("--data", "payload", metavar="JSON|@FILE", help="More of the result: any JSON, or a file of it.")
@queue_option
@folder_option("--data-folder")
@namespace_option
@output_option
def complete(
    task_id: str,
    summary: str,
    payload: str | None,
    queue: str | None,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """End the claimed task ID with a result: SUMMARY says what was done."""
    result = _result(whole_text("SUMMARY", summary), payload)
    target = find_target(data, namespace)
    key, view = run_async(_complete(target, queue, task_id, result))
    output.result({"id": task_id, "queue": str(key), "status": view.state.value}, f"task {task_id} in {key}: completed")
    return 0


async def _complete(
    target: Target, queue: str | None, task_id: str, result: str | dict[str, Any]
) -> tuple[QueueKey, TaskView]:
    def ending(_queue: QueueKey, _policy: QueuePolicy, lease: CurrentLease) -> Settlement:
        return Settlement(task_id, lease.fence, Verdict.COMPLETE, output=result, run_seconds=lease.age)

    async with open_store(target) as store:
        return await end_task(store, target, queue, task_id, ending)


def _result(summary: str, payload: str | None) -> str | dict[str, Any]:
    result = summary if payload is None else {"summary": summary, "data": _read(payload)}
    try:
        size = len(orjson.dumps([[result]]))  # as deep as it will be in the store
    except orjson.JSONEncodeError:
        raise InputError("--data: it is nested too deep to be stored; make it flatter") from None
    if size > MAX_BYTES:
        raise InputError(
            f"the result has {size} bytes as JSON, at most {MAX_BYTES} are stored; keep large data elsewhere"
        )
    return result


def _read(payload: str) -> Any:
    """The value of JSON, or of a file of it after ``@``."""
    if not payload.startswith("@"):
        return _json(payload.encode(errors="surrogateescape"), "--data")
    path = Path(payload[1:])
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"--data @{path}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"--data @{path}: it has more than {MAX_BYTES} bytes; keep large data elsewhere")
    return _json(content, f"--data @{path}")


def _json(content: bytes, where: str) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputError(
            f"{where}: not JSON: {error.msg} at line {error.lineno}, column {error.colno}; write JSON such as "
            '{"files": 12}, or @FILE for a file of it (the data folder of `up` is --data-folder here)'
        ) from None
