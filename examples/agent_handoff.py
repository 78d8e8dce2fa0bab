"""Story: agents that hand over to each other; the output of one is the input of the next.

Nobody names a model: each step asks for what it needs (``fast``, ``reasoning``, ``chat``), and the queue finds the
model by its tags. ``python examples/agent_handoff.py URL MODEL``: here one server plays all three parts.
"""

import asyncio
import sys
from typing import Any

from taskfleet import ParallelTaskQueue

STEPS = (
    ("fast", "Write three short steps to reach this goal: {work}"),
    ("reasoning", "Carry out these steps, one sentence for each:\n{work}"),
    ("chat", "Say in one sentence what this text is about:\n{work}"),
)


def team(url: str, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Three models, each good at something; the server knows all of them as ``model``."""
    names = {"sprinter": ["fast"], "thinker": ["reasoning"], "talker": ["chat"]}
    server = {"url": url, "models": list(names), "remoteNames": dict.fromkeys(names, model)}
    return server, {"models": [{"name": name, "tags": tags} for name, tags in names.items()]}


async def main(url: str, model: str) -> None:
    server, policy = team(url, model)
    async with ParallelTaskQueue([server], policy=policy) as queue:
        work = "learn to bake bread"
        for wanted, prompt in STEPS:
            task_id = await queue.submit(prompt.format(work=work), model=wanted, parameters={"max_tokens": 30})
            task = await queue.wait_for_task(task_id)
            if task.result is None:
                sys.exit(f"{wanted} could not go on: {task.error}")
            work = task.result.response
            print(f"{wanted} -> {task.model}: {work}\n")


if len(sys.argv) < 3:
    sys.exit(__doc__)
asyncio.run(main(sys.argv[1], sys.argv[2]))
