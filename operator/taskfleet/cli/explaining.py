"""``taskfleet explain queue|pool|endpoint|task``: the looks at the store behind them."""

from collections.abc import Callable
from pathlib import Path

import click

from taskfleet.cli.handout import harmless
from taskfleet.cli.lookup import find_tasks
from taskfleet.cli.options import output_option, queue_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.running import run_async
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.core.errors import NotFound
from taskfleet.core.explanation import POOL, Scene, pool_lines, queue_lines, task_lines
from taskfleet.core.task import QueueKey
from taskfleet.store import Store


async def scene_of(store: Store, target: Target, key: QueueKey) -> Scene:
    """Raises NotFound."""
    stats = await store.stats(key)
    if stats is None:
        raise target.no_queue(key)
    return Scene(stats, await store.workers(key), await store.chronicle(key))


@click.command()
@click.argument("name")
@target_options
@output_option
def queue(name: str, data: Path | None, namespace: str | None, output: Output) -> int:
    """Say why the tasks of queue NAME wait, what serves it, and what was decided last."""
    target = find_target(data, namespace)
    key = target.queue(name)

    async def ask() -> list[str]:
        async with open_store(target) as store:
            return queue_lines(key.name, await scene_of(store, target, key))

    return _told(output, f"queue {key}", run_async(ask()))


@click.command()
@click.argument("name")
@queue_option
@target_options
@output_option
def pool(name: str, queue: str | None, data: Path | None, namespace: str | None, output: Output) -> int:
    """Say why pool NAME has as many workers as it has, in numbers, and what was decided last."""
    target = find_target(data, namespace)

    def has(scene: Scene) -> str | None:
        return name if name in scene.pools() else None

    async def ask() -> list[str]:
        _, scene = await _find(target, queue, has, f"pool {name!r}")
        return pool_lines(name, scene)

    return _told(output, f"pool {name}", run_async(ask()))


@click.command()
@click.argument("name", metavar="[POOL/]NAME")
@queue_option
@target_options
@output_option
def endpoint(name: str, queue: str | None, data: Path | None, namespace: str | None, output: Output) -> int:
    """Say why endpoint NAME has as many workers as it has, whether it is healthy, and what was decided last."""
    target = find_target(data, namespace)
    wanted, _, short = name.rpartition("/")

    def has(scene: Scene) -> str | None:
        for each, status in scene.pools().items():
            if wanted in ("", each) and any(one["name"] == short for one in status.get("endpoints", ())):
                return each
        return None

    async def ask() -> list[str]:
        found, scene = await _find(target, queue, has, f"endpoint {name!r}")
        return pool_lines(found, scene, short)

    return _told(output, f"endpoint {name}", run_async(ask()))


@click.command()
@click.argument("task_id", metavar="ID")
@queue_option
@target_options
@output_option
def task(task_id: str, queue: str | None, data: Path | None, namespace: str | None, output: Output) -> int:
    """Say why task ID waits, what is before it, and what would change that."""
    target = find_target(data, namespace)

    async def ask() -> tuple[str, list[str]]:
        async with open_store(target) as store:
            key, view = (await find_tasks(store, target, queue, [task_id]))[task_id]
            ahead = await store.ahead_of(key, task_id)
            lines = task_lines(view, ahead, await scene_of(store, target, key), key.name)
            return f"task {task_id} in {key} is {view.state.value}", lines

    return _told(output, *run_async(ask()))


async def _find(target: Target, queue: str | None, has: Callable[[Scene], str | None], what: str) -> tuple[str, Scene]:
    """The first queue whose pools have it, and the pool's name. Raises NotFound."""
    async with open_store(target) as store:
        known = [target.queue(queue)] if queue else list(target.queues) or await store.queues()
        for key in known:
            scene = await scene_of(store, target, key)
            if (found := has(scene)) is not None:
                return found, scene
    searched = ", ".join(map(str, known)) or "this store, which has no queue"
    raise NotFound(f"no controller tells of {what} in {searched}; look at its name, and at the {POOL}'s queueRef")


def _told(output: Output, what: str, lines: list[str]) -> int:
    told = [harmless(line) for line in lines]
    output.result({"about": what, "lines": [line.strip() for line in told]}, what, *(f"  {line}" for line in told))
    return 0
