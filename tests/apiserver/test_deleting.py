"""A queue with tasks goes only when they are done, or when somebody says that they may be lost."""

from taskfleet.core.names import DISCARD_ANNOTATION, FINALIZER
from tests.apiserver.site import Site


def test_a_queue_gets_our_finalizer_and_keeps_those_of_others(site: Site) -> None:
    queue = site.queue()
    queue["metadata"]["finalizers"] = ["example.com/theirs"]
    site.start_controller()
    site.apply(queue)

    wanted = {"example.com/theirs", FINALIZER}
    site.until(lambda: set(site.get("TaskQueue")["metadata"]["finalizers"]) == wanted, "both finalizers")

    site.delete("TaskQueue")
    site.until(lambda: site.get("TaskQueue")["metadata"]["finalizers"] == ["example.com/theirs"], "ours to go")
    site.server.merge(site.path("TaskQueue", "demo"), {"metadata": {"finalizers": None}})
    site.until(lambda: site.get("TaskQueue") is None, "the queue to go")


def test_an_empty_queue_goes_at_once(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(lambda: FINALIZER in site.get("TaskQueue")["metadata"].get("finalizers", ()), "the finalizer")

    site.delete("TaskQueue")

    site.until(lambda: site.get("TaskQueue") is None, "the queue to go")


def test_a_queue_with_tasks_is_drained_before_it_goes(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool())
    site.until(lambda: FINALIZER in site.get("TaskQueue")["metadata"].get("finalizers", ()), "the finalizer")
    site.submit(2)
    site.until(lambda: site.replicas() == 2, "workers for the backlog")

    site.delete("TaskQueue")
    site.until(lambda: site.condition("TaskQueue", "Ready").get("reason") == "Deleting", "the reason to be told")
    assert site.replicas() == 2
    assert site.finish_all() == 2

    site.until(lambda: site.get("TaskQueue") is None, "the queue to go")


def test_a_queue_whose_tasks_nobody_can_do_says_so_and_goes_when_told_to_discard_them(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue())
    site.until(lambda: FINALIZER in site.get("TaskQueue")["metadata"].get("finalizers", ()), "the finalizer")
    site.submit(2)

    site.delete("TaskQueue")
    site.until(lambda: site.condition("TaskQueue", "Ready").get("reason") == "DeletionBlocked", "the refusal in words")
    assert DISCARD_ANNOTATION in site.condition("TaskQueue", "Ready")["message"]

    site.server.merge(site.path("TaskQueue", "demo"), {"metadata": {"annotations": {DISCARD_ANNOTATION: "true"}}})
    site.until(lambda: site.get("TaskQueue") is None, "the queue to go")


def test_a_queue_deleted_while_no_controller_ran_goes_when_one_comes(site: Site) -> None:
    first = site.start_controller()
    site.apply(site.queue())
    site.until(lambda: FINALIZER in site.get("TaskQueue")["metadata"].get("finalizers", ()), "the finalizer")
    first.stop()

    site.delete("TaskQueue")
    assert site.get("TaskQueue")["metadata"]["deletionTimestamp"]
    site.start_controller()

    site.until(lambda: site.get("TaskQueue") is None, "the queue to go")
