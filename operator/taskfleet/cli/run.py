"""``taskfleet run``: tasks of a queue, claimed and printed for a person or an agent to execute."""

import shlex
import socket
from pathlib import Path

import click

from taskfleet.api.taskqueue import published_spec
from taskfleet.cli import exits
from taskfleet.cli.handout import handout
from taskfleet.cli.options import output_option, seconds_option, target_options, this_queue_option
from taskfleet.cli.output import Output
from taskfleet.cli.resultfile import tasks
from taskfleet.cli.runner import AT_ONCE, Runner, models_of
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.cli.watch import watch as watch_queue
from taskfleet.core.cleanup import to_its_end
from taskfleet.core.errors import InvalidTask
from taskfleet.core.pool import Execution
from taskfleet.core.quantities import format_duration
from taskfleet.core.task import QueueKey
from taskfleet.store import Store

EPILOG = """
\b
Each task is printed in this form, or with -o json as an object on one line:
  Task: t-1
  Queue: default/chores
  Tool: editor                       (a hint: which tool to use)
  Model: small
  Priority: high
  Attempt: 1
  Worker: worker-laptop-chores
  Until: 2030-01-31T18:00:00Z        (when the claim ends)
  Parameters: {"temperature":0}
  Metadata: {"row":3}
  Prompt:
    Every line of what is asked, behind two spaces.
Lines without a value are left out, other messages than the user's stand under System:, Assistant: and so on, and an
empty line ends the task.

\b
A task stays claimed by worker-HOST-QUEUE until it is ended with `taskfleet complete` or `taskfleet fail`, or until its
lease ends: then it waits again. With --watch the leases are renewed as long as the command runs. No other runner or
worker gets a claimed task.

\b
Examples:
  taskfleet run --queue chores
  taskfleet run --queue chores --once -o json
  taskfleet run --queue chores --watch --poll 30
  taskfleet run --queue chores --dry-run
"""


@click.command(epilog=EPILOG)
@this_queue_option
@click.option("--once", is_flag=True, help="Claim one task.")
@click.option("--watch", is_flag=True, help="Go on for tasks that come later, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Print what waits now, and claim nothing.")
@seconds_option("poll", "With --watch: look at least this often (default: 10s). News are heard at once.")
@seconds_option("lease", "How long a task stays claimed (default: 30m).")
@target_options
@output_option
def run(
    queue: str,
    once: bool,
    watch: bool,
    dry_run: bool,
    poll: float,
    lease: float,
    data: Path | None,
    namespace: str | None,
    output: Output,
) -> int:
    """Claim the tasks of a queue, until it is empty, and print them for a person or an agent to execute."""
    if watch and (once or dry_run):
        raise click.UsageError("--watch goes on for ever; leave it out, or leave out --once and --dry-run")
    target = find_target(data, namespace)
    key = target.queue(queue)
    if dry_run:
        return run_async(_show(target, key, once, output))
    worker = f"worker-{socket.gethostname()}-{key.name}"
    how_to_end = _how_to_end(key, data)
    return run_async(_claim(target, key, worker, lease, poll if watch else None, once, how_to_end, output))


async def _show(target: Target, queue: QueueKey, once: bool, output: Output) -> int:
    shown = 0
    async with open_store(target) as store:
        await models_of(store, target, queue)
        async for task in store.waiting(queue):
            try:
                card = handout(queue, task)
            except InvalidTask as error:
                output.remark(f"task {task.id} cannot be handed out: {error}")
                continue
            output.result(card.fields, card.text.removesuffix("\n"))
            shown += 1
            if once:
                break
    output.remark(f"{tasks(shown)} shown; nothing was claimed")
    return exits.OK


async def _claim(
    target: Target,
    queue: QueueKey,
    worker: str,
    lease: float,
    poll: float | None,
    once: bool,
    how_to_end: str,
    output: Output,
) -> int:
    async with open_store(target) as store:
        models = await models_of(store, target, queue)
        await _remark_workers(store, queue, output)
        runner = Runner(store, queue, output, worker=worker, lease_seconds=lease, models=models)
        paused = False
        try:
            if poll is not None:
                await watch_queue(store, target, queue, runner, min(poll, lease / 3), output)
            else:
                paused = await _take_now(runner, once)
        finally:
            await to_its_end(runner.leave())
            if runner.held:
                claimed = f"{tasks(runner.held)} claimed by {worker} for {format_duration(lease)}"
                output.remark(f"{claimed}; end each with\n{how_to_end}")
    if runner.handed_out:
        return exits.OK
    if paused:
        output.remark(f"{queue} is paused: no task is given out; `taskfleet stats {queue}` says for how long")
        return exits.NOT_FINISHED
    output.remark(f"no task waits in {queue}")
    return exits.OK


async def _take_now(runner: Runner, once: bool) -> bool:
    """One task, or all until nothing waits; whether that ended because the queue is stopped."""
    while True:
        claim = await runner.take(1 if once else AT_ONCE)
        more = claim.next_due_in == 0 or (claim.tasks and not once)
        if claim.stopped or (once and runner.handed_out) or not more:
            return claim.stopped


async def _remark_workers(store: Store, queue: QueueKey, output: Output) -> None:
    policy = await store.policy(queue)
    if policy is not None and published_spec(policy, queue).execution is Execution.WORKERS:
        output.remark(f"workers may take tasks of {queue} as well: its spec.execution is Workers, and not External")


def _how_to_end(queue: QueueKey, data: Path | None) -> str:
    where = f"-q {queue}" + (f" --data-folder {shlex.quote(str(data))}" if data is not None else "")
    return f'  taskfleet complete ID "SUMMARY" {where}\n  taskfleet fail ID --error TEXT {where}'
