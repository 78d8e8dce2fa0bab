"""Several controllers and one Lease: one acts, another takes over in time, and nothing is ever done twice."""

import base64
import json
import re
import signal
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.conftest import CONTROLLER, NARROW_CONTROLLER, SYSTEM, install_crds
from tests.apiserver.site import Site
from tests.apiserver.test_resting import READS
from tests.support.apiserver import Servers
from tests.support.controllerprocess import ControllerProcess
from tests.support.holdingproxy import HoldingProxy, holding_proxy
from tests.support.waiting import wait_until

AFTER_A_KILL, AFTER_A_STOP = 15.0, 3.0
START_PATIENCE = 60.0  # a process that starts beside many others on a small machine
REST_SECONDS = 8.0
Request = dict[str, Any]


class Crew:
    """Controllers of one site, each with a login of its own, so that the API server's audit log tells them apart."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self._folder = folder

    def start(self, proxy: HoldingProxy | None = None) -> ControllerProcess:
        to = self._folder / f"{len(self.site.controllers)}.kubeconfig"
        login = self.site.server.kubeconfig_of(self.site.namespace, NARROW_CONTROLLER, to)
        return self.site.start_controller(proxy.kubeconfig(login, to) if proxy else login)

    def leader_and_standby(self, proxy: HoldingProxy | None = None) -> tuple[ControllerProcess, ControllerProcess]:
        leader = self.start(proxy)
        leader.says("this controller leads", timeout=START_PATIENCE)
        standby = self.start()
        standby.says("another controller leads", timeout=START_PATIENCE)
        return leader, standby

    def requests(self, controller: ControllerProcess) -> list[Request]:
        """All that this one has sent, oldest first."""
        user = json.loads(controller.kubeconfig.read_text())["users"][0]["user"]
        claims = user["token"].split(".")[1]
        credential = f"JTI={json.loads(base64.urlsafe_b64decode(claims + '=='))['jti']}"
        everything = self.site.server.audit(f"system:serviceaccount:{self.site.namespace}:{NARROW_CONTROLLER}")
        return [event for event in everything if credential in str(event["user"].get("extra"))]

    def writes(self, controller: ControllerProcess, since: float = 0.0) -> list[str]:
        """Verb and kind of all that this one wanted to change, other than the Lease, ``since`` a time.time()."""
        sent = [each for each in self.requests(controller) if each["verb"] not in READS and received(each) >= since]
        said = [f"{each['verb']} {each['objectRef']['resource']}" for each in sent]
        return [each for each in said if "leases" not in each]

    def wait_for_rest(self, controller: ControllerProcess) -> None:
        """Until this one has written nothing for two seconds."""
        quiet_since, seen = time.monotonic(), -1

        def quiet() -> bool:
            nonlocal quiet_since, seen
            if len(self.writes(controller)) != seen:
                quiet_since, seen = time.monotonic(), len(self.writes(controller))
            return time.monotonic() - quiet_since > 2.0

        self.site.until(quiet, "the controller to come to rest", timeout=START_PATIENCE)


def received(request: Request) -> float:
    return datetime.fromisoformat(request["requestReceivedTimestamp"]).timestamp()


@pytest.fixture
def crew(narrow: Site, tmp_path: Path) -> Crew:
    narrow.apply(narrow.queue(), narrow.pool())
    return Crew(narrow, tmp_path)


def leads(controller: ControllerProcess) -> bool:
    _, text = controller.ask("/metrics")
    found = re.search(r"^taskfleet_controller_leader (\d)", text, re.MULTILINE)
    assert found is not None, text
    return found[1] == "1"


def led_at(controller: ControllerProcess) -> float:
    """When it began to lead, as a time.time()."""
    return datetime.fromisoformat(controller.says("this controller leads")["time"]).timestamp()


def status(site: Site, kind: str) -> dict[str, Any]:
    return dict((site.get(kind) or {}).get("status") or {})


def holder(site: Site) -> str:
    lease = site.get("Lease", NARROW_CONTROLLER)
    return "" if lease is None else str(lease["spec"].get("holderIdentity", ""))


def test_one_acts_and_the_other_stands_by_ready_and_says_nothing_of_queues(crew: Crew) -> None:
    leader, standby = crew.leader_and_standby()
    site = crew.site
    site.submit(2)
    site.until(lambda: site.replicas() == 2, "workers for the backlog")

    assert (leads(leader), leads(standby)) == (True, False)
    for each in (leader, standby):
        site.until(lambda each=each: each.ask("/readyz")[0] == 200, "both to be ready")
        assert each.ask("/healthz")[0] == 200
    assert "taskfleet_queue_tasks" in leader.ask("/metrics")[1]
    assert "taskfleet_queue_tasks" not in standby.ask("/metrics")[1]
    assert "taskfleet_store_up" not in standby.ask("/metrics")[1]
    asked = {each["objectRef"]["resource"] for each in crew.requests(standby)}
    assert asked == {"leases"}, "one that stands by watches nothing"
    assert {each["verb"] for each in crew.requests(standby)} == {"get"}


def test_a_killed_leader_is_followed_within_fifteen_seconds_and_each_change_is_acted_on_once(crew: Crew) -> None:
    leader, standby = crew.leader_and_standby()
    site = crew.site
    site.until(lambda: site.replicas() == 0, "a Deployment without workers")
    killed_at = time.time()
    leader.stop(signal.SIGKILL)
    site.submit(3)

    site.until(lambda: site.replicas() == 3, "workers for what came meanwhile", timeout=2 * AFTER_A_KILL)
    print(f"from SIGKILL to the next one's first decision: {time.time() - killed_at:.1f} s")
    assert led_at(standby) - killed_at < AFTER_A_KILL
    assert leads(standby)
    site.until(lambda: "ScaledUp" in site.reasons(), "the decision to be told")
    assert len([event for event in site.list("Event") if event["reason"] == "ScaledUp"]) == 1
    # One write that says that the Deployment is as it should be, one with the workers.
    assert crew.writes(standby).count("patch deployments") <= 2


def test_a_leader_that_is_told_to_end_is_followed_within_three_seconds(crew: Crew) -> None:
    leader, standby = crew.leader_and_standby()
    site = crew.site
    site.until(lambda: site.replicas() == 0, "a Deployment without workers")
    stopped_at = time.time()
    leader.send(signal.SIGTERM)
    site.submit(3)

    site.until(lambda: site.replicas() == 3, "workers for what came meanwhile")
    site.until(lambda: leads(standby), "the other one to lead")
    print(f"from SIGTERM to the next one's first decision: {time.time() - stopped_at:.1f} s")
    assert led_at(standby) - stopped_at < AFTER_A_STOP
    assert leader.ended() == 0
    assert not leader.complaints()
    assert not standby.complaints()


def test_one_that_stands_by_may_go_and_takes_no_lease_along(crew: Crew) -> None:
    leader, standby = crew.leader_and_standby()
    before = holder(crew.site)
    assert standby.stop() == 0
    assert holder(crew.site) == before != ""
    assert leads(leader)
    assert leader.stop() == 0
    assert holder(crew.site) == ""


def test_a_leader_that_was_held_still_wakes_as_one_that_may_not_act(crew: Crew) -> None:
    old, new = crew.leader_and_standby()
    site = crew.site
    site.submit(3)
    site.until(lambda: site.replicas() == 3, "workers for the backlog")
    crew.wait_for_rest(old)  # a write that was on its way already is another test's
    old.send(signal.SIGSTOP)
    site.finish_all()  # of which the old one has heard, and what it would have done is asleep in it
    site.until(lambda: leads(new), "the other one to lead", timeout=2 * AFTER_A_KILL)
    site.until(lambda: site.replicas() == 0, "no workers without tasks")
    site.submit(2)
    site.until(lambda: site.replicas() == 2, "workers for the next tasks")

    woken_at = time.time()
    old.send(signal.SIGCONT)
    old.says("this controller leads no more")
    site.until(lambda: not leads(old), "the old one to stand by")
    site.until(lambda: old.ask("/readyz")[0] == 200, "the old one to be ready again")
    assert crew.writes(old, since=woken_at) == []
    assert old.running
    assert site.replicas() == 2

    new.stop(signal.SIGTERM)
    site.until(lambda: leads(old), "the old one to lead again")
    site.submit(1)
    site.until(lambda: site.replicas() == 3, "workers for the last task")


def test_a_lease_where_there_is_no_namespace_is_told_once_and_not_at_every_try(crew: Crew) -> None:
    crew.site.lease = "nowhere/taskfleet"
    controller = crew.site.start_controller(crew.site.server.kubeconfig)  # of one who may do everything
    controller.says('namespaces "nowhere" not found', timeout=START_PATIENCE)
    asked = "POST /apis/coordination.k8s.io/v1/namespaces/nowhere/leases"
    wait_until(lambda: controller.ask("/readyz") == (503, f"{controller.said(asked)['message'][11:]}\n"), "the reason")
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 3.0, "some more tries")
    assert len([line for line in controller.lines if asked in line["message"]]) == 1
    assert controller.stop() == 0


def test_a_lease_that_says_nothing_is_taken(crew: Crew) -> None:
    meta = {"name": NARROW_CONTROLLER, "namespace": crew.site.namespace}
    empty = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta}
    crew.site.server.request("POST", crew.site.path("Lease"), empty)
    crew.start().says("this controller leads", timeout=START_PATIENCE)
    assert holder(crew.site)


@pytest.mark.parametrize("late", [b"/deployments/", b"/workerpools/demo/status", b"/taskqueues/demo/status"])
def test_a_late_write_of_an_old_leader_is_taken_back_at_once(crew: Crew, late: bytes) -> None:
    site = crew.site
    with holding_proxy(site.server.url, site.server.folder / "pki" / "ca.crt") as proxy:
        old, new = crew.leader_and_standby(proxy)
        site.until(lambda: site.condition("WorkerPool", "ScalingActive"), "the pool's status")
        proxy.hold(late)
        site.submit(3)
        wait_until(proxy.held.is_set, "the old leader to write")
        old.send(signal.SIGSTOP)
        site.finish_all()
        site.until(lambda: leads(new), "the other one to lead", timeout=2 * AFTER_A_KILL)
        site.until(lambda: site.replicas() == 0, "no workers without tasks")
        site.until(lambda: status(site, "WorkerPool").get("replicas") == 0, "the pool's numbers")
        site.until(lambda: status(site, "TaskQueue").get("completed") == 3, "the queue's numbers")
        crew.wait_for_rest(new)
        right = [status(site, kind) for kind in ("WorkerPool", "TaskQueue")]

        released_at = time.time()
        proxy.release()
        site.until(lambda: crew.writes(old, since=released_at), "the late write to arrive")

        def is_right() -> bool:
            return site.replicas() == 0 and [status(site, kind) for kind in ("WorkerPool", "TaskQueue")] == right

        site.until(is_right, "all to be again as the new leader decided")
        assert crew.writes(new, since=released_at), "it did land"


def test_at_rest_nothing_is_written_but_the_leaders_renewals(crew: Crew) -> None:
    leader, standby = crew.leader_and_standby()
    site = crew.site
    site.until(lambda: site.condition("WorkerPool", "ScalingActive"), "the pool's status")
    site.until(lambda: site.condition("TaskQueue", "Ready"), "the queue's status")
    crew.wait_for_rest(leader)
    before = {each.kubeconfig: len(crew.requests(each)) for each in (leader, standby)}
    until = time.monotonic() + REST_SECONDS
    wait_until(lambda: time.monotonic() > until, "rest", timeout=60)

    def since(one: ControllerProcess) -> list[str]:
        new = crew.requests(one)[before[one.kubeconfig] :]
        return [f"{each['verb']} {each['objectRef']['resource']}" for each in new if each["verb"] != "watch"]

    assert set(since(leader)) == {"update leases"}
    assert len(since(leader)) <= REST_SECONDS / 3 + 1
    assert set(since(standby)) == {"get leases"}


@pytest.mark.parametrize("hours", [-1, 1], ids=["an hour behind", "an hour ahead"])
def test_a_holder_whose_clock_is_wrong_is_waited_for_as_long_as_any_other(crew: Crew, hours: int) -> None:
    site = crew.site
    written = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() + hours * 3600))
    spec = {"holderIdentity": "somebody", "leaseDurationSeconds": 6, "renewTime": written, "acquireTime": written}
    meta = {"name": NARROW_CONTROLLER, "namespace": site.namespace}
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": meta, "spec": spec}
    site.server.request("POST", site.path("Lease"), lease)

    controller = crew.start()
    seen = controller.says("another controller leads", timeout=START_PATIENCE)
    waited = led_at(controller) - datetime.fromisoformat(seen["time"]).timestamp()
    assert 5.9 < waited < 10.0
    assert site.get("Lease", NARROW_CONTROLLER)["spec"]["leaseTransitions"] == 1


def test_a_lease_that_somebody_deletes_is_made_anew_by_the_one_that_leads(crew: Crew) -> None:
    leader, standby = crew.leader_and_standby()
    crew.site.delete("Lease", NARROW_CONTROLLER)
    leader.says("this controller leads no more")
    crew.site.until(lambda: holder(crew.site), "a Lease again")
    crew.site.until(lambda: leads(leader), "the same one to lead")
    assert not leads(standby)


def test_a_controller_that_may_not_have_the_lease_says_so_and_does_nothing(crew: Crew) -> None:
    role = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{crew.site.namespace}/roles/{NARROW_CONTROLLER}-lease"
    crew.site.server.request("DELETE", role)
    controller = crew.start()
    controller.says("the role of the controller must allow it", timeout=START_PATIENCE)
    status, text = controller.ask("/readyz")
    assert (status, "leases" in text) == (503, True)
    assert controller.ask("/healthz")[0] == 200
    assert crew.writes(controller) == []
    assert controller.stop() == 0


def test_an_api_server_that_is_away_ends_the_leading_and_one_leads_when_it_is_back(
    own_site: Site, own_servers: Servers
) -> None:
    site = own_site
    install_crds(site.server)
    site.lease = f"{SYSTEM}/{CONTROLLER}"
    both = [site.start_controller() for _ in range(2)]
    site.apply(site.queue(), site.pool())
    site.until(lambda: site.replicas() == 0, "a Deployment without workers", timeout=START_PATIENCE)
    leader = next(each for each in both if leads(each))

    own_servers.kill_apiserver()
    leader.says("this controller leads no more")
    assert not any(leads(each) for each in both)
    site.submit(2)
    own_servers.start_apiserver()

    site.until(lambda: site.replicas() == 2, "workers for what came meanwhile", timeout=30)
    assert sorted(leads(each) for each in both) == [False, True]
    assert all(each.running for each in both)
    site.until(lambda: all(each.ask("/readyz")[0] == 200 for each in both), "both to be ready")
