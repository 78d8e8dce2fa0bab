"""Before a Deployment shrinks, its busy workers are marked to go last."""

from taskfleet.controller.cluster.deletioncost import COST
from tests.apiserver.site import Site

EXTERNAL = {"mode": "External", "maxWorkers": 5}


def cost(site: Site, pod: str) -> str | None:
    found: str | None = site.get("Pod", pod)["metadata"]["annotations"].get(COST)
    return found


def test_each_busy_worker_is_marked_with_what_it_runs_before_the_deployment_shrinks(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool(autoscaling=EXTERNAL, replicas=3))
    site.until(lambda: site.replicas() == 3, "three workers")
    for name, inflight in (("idle", 0), ("busy", 2), ("busiest", 5)):
        site.make_worker(name)
        site.report(name, inflight)

    site.apply(site.pool(autoscaling=EXTERNAL, replicas=1))
    site.until(lambda: site.replicas() == 1, "one worker")

    assert [cost(site, name) for name in ("idle", "busy", "busiest")] == [None, "2", "5"]


def test_a_worker_that_has_become_idle_loses_its_mark(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool(autoscaling=EXTERNAL, replicas=3))
    site.until(lambda: site.replicas() == 3, "three workers")
    site.make_worker("once-busy")
    site.report("once-busy", 3)
    site.apply(site.pool(autoscaling=EXTERNAL, replicas=2))
    site.until(lambda: cost(site, "once-busy") == "3", "the mark")

    site.report("once-busy", 0)
    site.apply(site.pool(autoscaling=EXTERNAL, replicas=1))

    site.until(lambda: site.replicas() == 1, "one worker")
    assert cost(site, "once-busy") == "0"


def test_growing_marks_nobody_and_asks_for_no_pods(site: Site) -> None:
    site.start_controller()
    site.apply(site.queue(), site.pool(autoscaling=EXTERNAL, replicas=1))
    site.until(lambda: site.replicas() == 1, "a worker")
    site.make_worker("busy")
    site.report("busy", 2)

    site.apply(site.pool(autoscaling=EXTERNAL, replicas=4))
    site.until(lambda: site.replicas() == 4, "four workers")

    assert cost(site, "busy") is None
