"""Bad weather: killed controllers, dead stores, API servers that go away and come back with something changed."""

import json
import signal
from pathlib import Path

import yaml

from taskfleet.core.names import deployment_name
from tests.apiserver.conftest import ROOT, install_crds
from tests.apiserver.site import Site
from tests.support.apiserver import ApiServer, Servers
from tests.support.valkeyserver import running_valkey


def test_a_killed_controller_changes_nothing_and_its_successor_goes_on(site: Site) -> None:
    first = site.start_controller()
    site.apply(site.queue(), site.pool())
    site.submit(3)
    site.until(lambda: site.replicas() == 3, "workers for the backlog")

    first.stop(signal.SIGKILL)
    site.submit(2)
    assert site.replicas() == 3
    site.start_controller()

    site.until(lambda: site.replicas() == 5, "workers for what came meanwhile")
    site.finish_all()
    site.until(lambda: site.replicas() == 0, "no workers after the delay")


def test_a_controller_that_is_told_to_end_does_so_in_seconds_and_leaves_the_workers(site: Site) -> None:
    controller = site.start_controller()
    site.apply(site.queue(), site.pool())
    site.submit(2)
    site.until(lambda: site.replicas() == 2, "workers for the backlog")

    assert controller.stop(signal.SIGTERM, timeout=10) == 0

    assert site.replicas() == 2
    assert not controller.complaints()


def test_a_dead_store_takes_no_workers_away_and_is_told_in_the_status(site: Site, tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as valkey:
        site.store_url = f"valkey://127.0.0.1:{valkey.port}"
        site.start_controller()
        site.apply(site.queue(), site.pool())
        site.submit(3)
        site.until(lambda: site.replicas() == 3, "workers for the backlog")
        site.until(lambda: site.get("TaskQueue")["status"].get("pending") == 3, "the queue's numbers")

        valkey.terminate()
        site.until(
            lambda: site.condition("TaskQueue", "StoreReachable").get("status") == "False", "the loss to be told"
        )
        assert site.get("TaskQueue")["status"]["pending"] == 3
        assert site.replicas() == 3

        valkey.start()
        site.until(
            lambda: site.condition("TaskQueue", "StoreReachable").get("status") == "True", "the store to be back"
        )
        assert site.replicas() == 3


def test_a_store_that_is_not_there_yet_is_waited_for(site: Site, tmp_path: Path) -> None:
    with running_valkey(tmp_path / "valkey") as valkey:
        site.store_url = f"valkey://127.0.0.1:{valkey.port}"
        valkey.terminate()
        site.start_controller()
        site.apply(site.queue(), site.pool(autoscaling={"minWorkers": 1, "maxWorkers": 5}))
        site.until(
            lambda: site.condition("TaskQueue", "StoreReachable").get("status") == "False", "the lack to be told"
        )

        valkey.start()
        site.until(lambda: site.replicas() == 1, "workers once the store is there")


def test_custom_resources_that_come_late_are_waited_for(own_site: Site) -> None:
    controller = own_site.start_controller()
    controller.says("are the custom resources installed?")

    install_crds(own_site.server)
    own_site.apply(own_site.queue(), own_site.pool(autoscaling={"minWorkers": 1, "maxWorkers": 5}))

    own_site.until(lambda: own_site.replicas() == 1, "the pool's least workers")


def test_an_api_server_that_restarts_is_watched_again_and_what_went_meanwhile_is_noticed(
    own_site: Site, own_servers: Servers
) -> None:
    install_crds(own_site.server)
    controller = own_site.start_controller()
    two = [own_site.pool(name, autoscaling={"minWorkers": 1, "maxWorkers": 5}) for name in ("stays", "goes")]
    own_site.apply(own_site.queue(), *two)
    own_site.until(lambda: len(own_site.list("Deployment")) == 2, "both Deployments")

    # The controller is held still while the API server is down, comes back, and forgets a pool.
    controller.send(signal.SIGSTOP)
    own_servers.kill_apiserver()
    own_servers.start_apiserver()
    own_site.delete("WorkerPool", "goes")
    controller.send(signal.SIGCONT)

    controller.says("gone while nobody watched", timeout=30)
    own_site.delete("Deployment", deployment_name("goes", "one"))  # as the garbage collector will, later
    own_site.apply(own_site.pool("stays", autoscaling={"minWorkers": 3, "maxWorkers": 5}))
    own_site.until(lambda: own_site.replicas(pool="stays") == 3, "the edit to be seen", timeout=30)
    own_site.server.merge(own_site.path("Deployment", deployment_name("stays", "one")), {"spec": {"replicas": 1}})
    own_site.until(lambda: own_site.replicas(pool="stays") == 3, "the drift to be repaired", timeout=30)
    assert own_site.deployment(pool="goes") is None
    assert controller.running


def test_an_api_server_that_is_away_for_a_while_is_waited_for(own_site: Site, own_servers: Servers) -> None:
    install_crds(own_site.server)
    controller = own_site.start_controller()
    own_site.apply(own_site.queue(), own_site.pool())
    own_site.until(lambda: own_site.replicas() == 0, "a Deployment without workers")

    own_servers.kill_apiserver()
    own_site.submit(2)
    controller.says("cannot reach the API server")
    own_servers.start_apiserver()

    own_site.until(lambda: own_site.replicas() == 2, "workers for what came meanwhile", timeout=30)
    assert controller.running


def test_an_object_that_todays_schema_would_refuse_is_told_and_crashes_nothing(own_site: Site) -> None:
    server = install_crds(own_site.server)
    loosen(server)
    controller = own_site.start_controller()
    bad = own_site.pool("bad")
    bad["spec"]["endpoints"][0]["concurrency"] = "many"
    own_site.apply(own_site.queue(), own_site.pool(), bad)

    own_site.until(lambda: own_site.condition("WorkerPool", "Ready", "bad").get("reason") == "InvalidSpec", "a status")
    assert "concurrency" in own_site.condition("WorkerPool", "Ready", "bad")["message"]
    own_site.submit(1)
    own_site.until(lambda: own_site.replicas() == 1, "the good pool to work on")

    own_site.apply(own_site.pool("bad", autoscaling={"minWorkers": 1, "maxWorkers": 5}))
    own_site.until(lambda: own_site.replicas(pool="bad") == 1, "the corrected pool to work")
    own_site.until(
        lambda: own_site.condition("WorkerPool", "Ready", "bad").get("reason") != "InvalidSpec", "the complaint to go"
    )
    assert controller.running


def loosen(server: ApiServer) -> None:
    """Make the pools' schema accept anything, as one of an older version might."""
    definition = yaml.safe_load((ROOT / "crds" / "workerpools.yaml").read_text())
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = anything
    server.kubectl("replace", "-f", "-", stdin=json.dumps(definition), check=True)
