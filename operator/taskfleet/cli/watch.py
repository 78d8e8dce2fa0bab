"""``taskfleet run --watch``: hand out what comes, and keep what is held, until told to stop."""

import asyncio

from taskfleet.cli.output import Output
from taskfleet.cli.runner import AT_ONCE, Runner, models_of
from taskfleet.cli.target import Target
from taskfleet.core.errors import StoreUnreachable
from taskfleet.core.task import QueueKey
from taskfleet.store import Store

LOOK_AGAIN_SECONDS = 1.0


async def watch(store: Store, target: Target, queue: QueueKey, runner: Runner, longest: float, output: Output) -> None:
    """Take what comes until cancelled. A store that is away is waited for as long as its `up` runs."""
    away, policy_version = False, None
    async with store.listen([queue]) as news:
        while True:
            try:
                await runner.renew()
                claim = await runner.take(AT_ONCE)
                if claim.policy_version != policy_version:
                    runner.models, policy_version = await models_of(store, target, queue), claim.policy_version
            except StoreUnreachable as error:
                target.check()
                if not away:
                    output.remark(f"taskfleet: {error}; waiting for it")
                away = True
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                continue
            away = False
            if not claim.tasks:
                await news.wait(longest if claim.next_due_in is None else min(longest, claim.next_due_in))
