"""``taskfleet run --watch``: hand out what comes, and keep what is held, until told to stop."""

from taskfleet.cli.outage import Outage
from taskfleet.cli.output import Output
from taskfleet.cli.runner import AT_ONCE, Runner, models_of
from taskfleet.cli.target import Target
from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.task import QueueKey
from taskfleet.store import Store


async def watch(store: Store, target: Target, queue: QueueKey, runner: Runner, longest: float, output: Output) -> None:
    """Take what comes until cancelled. A store that is away is waited for as long as its `up` runs."""
    outage, policy_version = Outage(target, output), None
    async with store.listen([queue]) as news:
        while True:
            try:
                await runner.renew()
                claim = await runner.take(AT_ONCE)
                if claim.policy_version != policy_version:
                    runner.models, policy_version = await models_of(store, target, queue), claim.policy_version
            except StoreUnreachable as error:
                await outage.wait(error)
                continue
            outage.over()
            if not claim.tasks:
                await news.wait(longest if claim.next_due_in is None else min(longest, claim.next_due_in))
