"""When workers go, and what is said while they stay."""

from taskfleet.core.plan import plan
from taskfleet.core.scaling import Patience
from tests.core.given import NOW, has, only, pool, seen, waiting


def test_fewer_tasks_take_no_worker_before_the_delay() -> None:
    first = plan(pool(), seen(waiting(small=8), llm=has(5)), NOW)
    assert only(first).workers == 5
    assert first.look_again_at == NOW + 60
    just_before = plan(pool(), seen(waiting(small=8), first.memory, llm=has(5)), NOW + 59.9)
    assert only(just_before).workers == 5
    after = plan(pool(), seen(waiting(small=8), just_before.memory, llm=has(5)), NOW + 60)
    assert only(after).workers == 2


def test_workers_that_stay_say_until_when_in_words_that_do_not_change() -> None:
    first = plan(pool(), seen(waiting(small=8), llm=has(5)), NOW)
    later = plan(pool(), seen(waiting(small=8), first.memory, llm=has(5)), NOW + 30)
    assert only(first).reason == "ScaleDownDelayed"
    assert only(first).message == (
        "8 waiting and 0 running tasks (4 at a time in a worker) need 2 workers; "
        "its 5 workers stay until that has lasted scaleDownDelay (1m)"
    )
    assert only(later).message == only(first).message


def test_the_largest_need_during_the_delay_is_what_stays() -> None:
    memory = plan(pool(), seen(waiting(small=4), llm=has(9)), NOW).memory
    memory = plan(pool(), seen(waiting(small=20), memory, llm=has(9)), NOW + 30).memory
    after = plan(pool(), seen(waiting(small=4), memory, llm=has(9)), NOW + 60)
    assert only(after).workers == 5
    assert after.look_again_at == NOW + 120


def test_an_idle_pool_goes_to_one_worker_and_then_to_none() -> None:
    first = plan(pool(), seen(waiting(), llm=has(5)), NOW)
    assert (only(first).workers, first.look_again_at) == (5, NOW + 60)
    second = plan(pool(), seen(waiting(), first.memory, llm=has(5)), NOW + 60)
    assert (only(second).workers, second.look_again_at) == (1, NOW + 120)
    assert only(second).message == (
        "no task waits or runs for its models; its worker stays until that has lasted scaleToZeroDelay (2m)"
    )
    third = plan(pool(), seen(waiting(), second.memory, llm=has(1)), NOW + 120)
    assert (only(third).workers, only(third).reason, third.look_again_at) == (0, "Idle", None)


def test_one_task_in_between_starts_the_way_to_zero_anew() -> None:
    memory = plan(pool(), seen(waiting(), llm=has(1)), NOW).memory
    memory = plan(pool(), seen(waiting(small=1), memory, llm=has(1)), NOW + 100).memory
    after = plan(pool(), seen(waiting(), memory, llm=has(1)), NOW + 121)
    assert (only(after).workers, after.look_again_at) == (1, NOW + 241)


def test_more_tasks_are_answered_at_once_during_any_delay() -> None:
    memory = plan(pool(), seen(waiting(), llm=has(1)), NOW).memory
    assert only(plan(pool(), seen(waiting(small=40), memory, llm=has(1)), NOW + 1)).workers == 10


def test_a_lowered_maximum_takes_workers_at_once() -> None:
    assert only(plan(pool(max_workers=2), seen(waiting(), llm=has(9)), NOW)).workers == 2


def test_a_pool_at_its_minimum_says_so_and_nothing_else_however_long_it_stays_there() -> None:
    minimal, memory, told = pool(min_workers=2), {}, set()
    for second in range(0, 300, 20):
        decided = plan(minimal, seen(waiting(small=1), memory, llm=has(2)), NOW + second)
        memory = dict(decided.memory)
        told.add((only(decided).workers, only(decided).reason, only(decided).message))
    assert told == {
        (
            2,
            "PoolMinWorkers",
            "1 waiting and 0 running tasks (4 at a time in a worker) need 1 worker; minWorkers of the pool is 2",
        )
    }


def test_without_a_delay_every_smaller_need_is_followed_at_once() -> None:
    impatient = pool(patience=Patience(0, 0))
    first = plan(impatient, seen(waiting(small=12), llm=has(5)), NOW)
    assert (only(first).workers, first.look_again_at) == (3, None)
    second = plan(impatient, seen(waiting(small=4), first.memory, llm=has(3)), NOW)
    assert (only(second).workers, second.look_again_at) == (1, None)
