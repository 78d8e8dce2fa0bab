"""``taskfleet fail``: a claimed task could not be done."""

import random
import re
from pathlib import Path

import click

from taskfleet.api.taskqueue import published_spec
from taskfleet.cli.ending import end_task, whole_text
from taskfleet.cli.options import output_option, queue_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.errors import InputError
from taskfleet.core.outcome import Fatal, Retry
from taskfleet.core.settlement import CurrentLease, QueuePolicy, Settlement
from taskfleet.core.task import QueueKey, TaskError, TaskState, TaskView
from taskfleet.core.verdict import decide
from taskfleet.core.wiretime import wire_time

USUAL_TYPE = "task_failed"
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
EPILOG = """
\b
The task has failed: it is a dead letter, which `taskfleet dlq` lists, brings back or removes. With --retry it is tried
again, after a delay and as often as the queue's spec.retry says; without attempts left it has failed as well. Exit
code 4: no such task, 7: nobody has claimed it, 8: it has ended already.

\b
Examples:
  taskfleet fail t-1 --error "The repository has no such function"
  taskfleet fail t-1 --error "The site does not answer" --type timeout --retry -q chores
"""


@click.command(epilog=EPILOG)
@click.argument("task_id", metavar="ID")
@click.option("--error", "text", required=True, metavar="TEXT", help="What went wrong, in words.")
@click.option(
    "--type", "code", default=USUAL_TYPE, show_default=True, metavar="T", help="What kind of error, as one word."
)
@click.option("--retry", is_flag=True, help="Try it again, as the queue's spec.retry says.")
@queue_option
@target_options
@output_option
def fail(
    task_id: str,
    text: str,
    code: str,
    retry: bool,
    queue: str | None,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """End the claimed task ID with an error, for good or, with --retry, until its next attempt."""
    error = TaskError(_code(code), whole_text("--error", text))
    target = find_target(data, namespace)
    key, view = run_async(_fail(target, queue, task_id, Retry(error) if retry else Fatal(error)))
    fields = {"id": task_id, "queue": str(key), "status": view.state.value, "attempts": view.attempts}
    output.result(fields | {"not_before": view.not_before}, f"task {task_id} in {key}: {_outcome(key, view)}")
    return 0


async def _fail(target: Target, queue: str | None, task_id: str, outcome: Retry | Fatal) -> tuple[QueueKey, TaskView]:
    def ending(key: QueueKey, policy: QueuePolicy, lease: CurrentLease) -> Settlement:
        retry = published_spec(policy, key).retry_policy
        end = decide(outcome, lease.task.attempts, retry, random.random())
        return Settlement(task_id, lease.fence, end.verdict, end.delay, error=end.error, run_seconds=lease.age)

    async with open_store(target) as store:
        return await end_task(store, target, queue, task_id, ending)


def _code(code: str) -> str:
    if not _TYPE.fullmatch(code):
        raise InputError(f"--type: {code!r} is not one word of at most 64 letters, digits and _ . -, such as timeout")
    return code


def _outcome(key: QueueKey, view: TaskView) -> str:
    if view.state is TaskState.PENDING:
        when = "" if view.not_before is None else f", not before {wire_time(view.not_before)}"
        return f"waits for attempt {view.attempts + 1}{when}"
    if view.state is TaskState.FAILED:
        return f"failed; bring it back with `taskfleet dlq redrive {key} --id {view.id}`"
    return view.state.value
