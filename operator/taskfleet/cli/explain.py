"""``taskfleet explain``: why something is as it is. Here: which model a name means."""

from pathlib import Path

import click

from taskfleet.api.taskqueue import published_spec
from taskfleet.cli import explaining
from taskfleet.cli.options import output_option, target_options, this_queue_option
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.target import find_target, open_store
from taskfleet.core.fallbacks import chain
from taskfleet.core.models import explain_model
from taskfleet.core.settlement import QueuePolicy

EPILOG = """
\b
Examples:
  taskfleet explain model fast -q demo
  taskfleet explain model coding -q demo -o json
"""


@click.group()
def explain() -> None:
    """Say why something is as it is."""


@explain.command(epilog=EPILOG)
@click.argument("name")
@this_queue_option
@target_options
@output_option
def model(name: str, queue: str, data: Path | None, namespace: str | None, output: Output) -> int:
    """Say which model of a queue tasks get that ask for NAME, and why.

    The rule: the exact name of a model, else an alias, else a tag, else the meaning of a word such as fast, cheap,
    smart, coding, reasoning, vision or chat, looked for in tags, then names, then descriptions. Of several models the
    first in the queue's list. Any other name is refused.

    Shown with it are the models that serve its tasks while none of its endpoints is healthy, and which one does now.
    """
    target = find_target(data, namespace)
    key = target.queue(queue)

    async def ask() -> QueuePolicy | None:
        async with open_store(target) as store:
            return await store.policy(key)

    policy = run_async(ask())
    if policy is None:
        raise target.no_queue(key)
    spec = published_spec(policy, key)
    found = explain_model(name, spec.offered, spec.default_lane)
    links, serving = chain(found.model, spec.fallbacks), policy.fallbacks.get(found.model, found.model)
    data_line = {
        "queue": str(key),
        "asked": name,
        "model": found.model,
        "step": found.step,
        "why": found.why,
        "fallbacks": list(links),
        "served_by": serving,
    }
    text = f"{name} means {found.model}: {found.why}"
    if links:
        text += f"\nwhile no endpoint of {found.model} is healthy: {', else '.join(links)}"
    if serving != found.model:
        text += f"\nnow served by {serving}"
    output.result(data_line, text)
    return 0


for about in (explaining.queue, explaining.pool, explaining.endpoint, explaining.task):
    explain.add_command(about)
