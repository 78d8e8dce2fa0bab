"""Whatever happens in whatever order, the workers come to what a controller that saw only the end would ask for."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from taskfleet.core.task import NewTask, QueueKey, new_task_id
from taskfleet.store import Store
from tests.controller.control import NAMESPACE, Control, controlling, task_queue, worker_pool
from tests.support.waiting import eventually

Step = Callable[[Control, str, str, int], None]


def set_queue(stop: str) -> Step:
    return lambda control, queue, _url, step: control.reconciler.set_queue(
        task_queue(queue, generation=step, stopPolicy=stop)
    )


def set_pool(name: str, *, most: int, fixed: int | None, endpoints: int) -> Step:
    def step(control: Control, queue: str, url: str, number: int) -> None:
        scaling = {"maxWorkers": most, "scaleDownDelay": "0s", "scaleToZeroDelay": "0s"}
        scaling |= {"mode": "External"} if fixed is not None else {}
        pool = worker_pool(
            queue,
            url,
            name=name,
            uid=name,
            generation=number,
            autoscaling=scaling,
            endpoints={f"e{each}": {} for each in range(endpoints)},
            **({} if fixed is None else {"replicas": fixed}),
        )
        control.reconciler.set_pool(pool)

    return step


def forget_queue(control: Control, queue: str, _url: str, _step: int) -> None:
    control.reconciler.forget_queue(QueueKey(NAMESPACE, queue))


def forget_pool(name: str) -> Step:
    return lambda control, _queue, _url, _step: control.reconciler.forget_pool(NAMESPACE, name)


def touch_pool(name: str) -> Step:
    return lambda control, _queue, _url, _step: control.reconciler.touch_pool(NAMESPACE, name)


names = st.sampled_from(("a", "b"))
queue_steps = st.builds(set_queue, st.sampled_from(("None", "Hold", "HoldAndDrain")))
pool_steps = st.builds(
    set_pool, names, most=st.integers(1, 12), fixed=st.none() | st.integers(0, 9), endpoints=st.integers(1, 3)
)
other_steps = st.just(forget_queue) | st.builds(forget_pool, names) | st.builds(touch_pool, names)
steps = st.lists(st.tuples(queue_steps | pool_steps | other_steps, st.booleans()), max_size=12)


async def what_is_asked(
    store_url: str, url: str, sequence: list[tuple[Step, bool]], final: list[Step], tasks: int
) -> object:
    queue = QueueKey(NAMESPACE, f"q-{secrets.token_hex(6)}")
    store = await Store.connect(store_url)
    async with controlling(store_url) as control:
        for number, (step, pause) in enumerate(sequence, start=1):
            step(control, queue.name, url, number)
            if pause:
                await asyncio.sleep(0)  # lets the reconciler begin with what it has
        for number, step in enumerate(final, start=100):
            step(control, queue.name, url, number)
        await eventually(lambda: store.policy(queue), "the policy")
        body = b'{"messages": []}'
        await store.submit(queue, [NewTask(new_task_id(), "small", body) for _ in range(tasks)])

        def seen_by_all() -> bool:
            numbers = control.status("TaskQueue", queue.name).get("pending")
            generations = [control.status("WorkerPool", name).get("observedGeneration") for name in ("a", "b")]
            return numbers == tasks and generations == [101, 102]

        await eventually(seen_by_all, "the last objects to be acted on")
        await eventually(lambda: control.fleet.workers("a") and control.fleet.workers("b") == 3, "workers of both")
        asked = dict(control.fleet.asked)
    await store.close()
    return asked


# Shrinking a story of seconds would take minutes; the story is told as it was found.
@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sequence=steps, most=st.integers(1, 12), endpoints=st.integers(1, 3), tasks=st.integers(1, 60))
def test_any_history_ends_where_a_fresh_start_ends(
    store_url: str, stub_model: Any, sequence: list[tuple[Step, bool]], most: int, endpoints: int, tasks: int
) -> None:
    final = [
        set_queue("None"),
        set_pool("a", most=most, fixed=None, endpoints=endpoints),
        set_pool("b", most=12, fixed=3, endpoints=2),
    ]
    with_history = asyncio.run(what_is_asked(store_url, stub_model.url, sequence, final, tasks))
    afresh = asyncio.run(what_is_asked(store_url, stub_model.url, [], final, tasks))
    assert with_history == afresh
