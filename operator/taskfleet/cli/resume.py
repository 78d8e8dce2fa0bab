"""``taskfleet resume``: start tasks of a paused queue again."""

from pathlib import Path

import click

from taskfleet.api.taskqueue import published_spec
from taskfleet.cli.options import output_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.pool import StopPolicy
from taskfleet.core.task import QueueKey

EPILOG = """
\b
Examples:
  taskfleet resume demo
"""


@click.command(epilog=EPILOG)
@click.argument("queue")
@target_options
@output_option
def resume(queue: str, data: Path | None, namespace: str | None, output: Output) -> int:
    """End a pause of QUEUE now. One that is not paused stays as it is."""
    target = find_target(data, namespace)
    key = target.queue(queue)
    was_paused, stop = run_async(_resume(target, key))
    words = f"{key} is resumed" if was_paused else f"{key} was not paused"
    output.result({"queue": str(key), "paused": False, "was_paused": was_paused}, words)
    if stop is not StopPolicy.NONE:
        output.remark(f"still no task is started: spec.stopPolicy of its TaskQueue is {stop.value}; set it to None")
    return 0


async def _resume(target: Target, key: QueueKey) -> tuple[bool, StopPolicy]:
    async with open_store(target) as store:
        policy = await store.policy(key)
        if policy is None:
            raise target.no_queue(key)
        return await store.resume(key), published_spec(policy, key).stop_policy
