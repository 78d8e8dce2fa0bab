"""What a controller costs and how soon it acts: ``KUBEBUILDER_ASSETS=DIR python -m benchmarks.controller``.

On a real API server whose audit log counts each of its requests, a real store, and many queues and pools that are idle.
Prints the rows that docs/guides/sizing.md shows. DIR holds ``etcd`` and ``kube-apiserver``.
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from benchmarks.rows import Row
from tests.apiserver.conftest import CONTROLLER, SYSTEM, install_crds, install_role
from tests.apiserver.site import Site
from tests.support.apiserver import Servers, assets
from tests.support.controllerprocess import ControllerProcess
from tests.support.modelstub import running
from tests.support.valkeyserver import running_valkey

NAMESPACE, LEASE = "figures", f"{SYSTEM}/{CONTROLLER}"
USER = f"system:serviceaccount:{SYSTEM}:{CONTROLLER}"
PATIENCE = 300.0
READS = {"get", "list", "watch"}
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.controller", description=__doc__)
    parser.add_argument("--pools", type=int, default=500, help="idle pools, each with a queue of its own")
    parser.add_argument("--seconds", type=float, default=120.0, help="how long they are watched")
    parser.add_argument("--tries", type=int, default=20, help="changes, and scale decisions")
    options = parser.parse_args()
    binaries = assets()
    if binaries is None:
        parser.error("KUBEBUILDER_ASSETS is to name a folder with etcd and kube-apiserver")
    print(machine())
    with ExitStack() as stack:
        site = stack.enter_context(idle_site(binaries, options.pools))
        controller = site.controllers[0]
        for row in (
            *at_rest(site, controller, options.seconds),
            *changes(site, options.tries, options.pools),
            *decisions(site, options.tries),
            reconciles(controller),
        ):
            print(row, flush=True)
    return 0


@contextmanager
def idle_site(binaries: Path, pools: int) -> Iterator[Site]:
    """So many queues, a pool for each, and one controller that has seen them all."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = Servers(Path(folder, "apiserver"), binaries)
        stack.callback(servers.stop)
        server = install_crds(install_role(servers.start()))
        server.kubectl("create", "namespace", NAMESPACE, check=True)
        login = server.kubeconfig_of(SYSTEM, CONTROLLER, Path(folder, "controller.kubeconfig"))
        valkey = stack.enter_context(running_valkey(Path(folder, "valkey")))
        store_url = f"valkey://127.0.0.1:{valkey.port}"
        model = stack.enter_context(running())
        runner = stack.enter_context(asyncio.Runner())
        site = Site(server, NAMESPACE, login, store_url, model.url, runner, watch_all=True, lease=LEASE)
        names = [f"q{number:03}" for number in range(pools)]
        for name in names:
            site.apply(site.queue(name), site.pool(name, queue=name))
        controller = site.start_controller()
        stack.callback(controller.stop)
        began = time.monotonic()
        patiently(lambda: count(site, "Deployment") == pools, "a Deployment for each pool")
        print(f"a Deployment for each of {pools} pools {time.monotonic() - began:.1f} s after the controller's start")
        settle(site)
        yield site


def patiently(predicate: Callable[[], bool], what: str, *, pause: float = 1.0) -> None:
    """Wait for a while without taking the machine from those that are measured."""
    deadline = time.monotonic() + PATIENCE
    while not predicate():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:g} s for {what}")
        time.sleep(pause)


def count(site: Site, kind: str) -> int:
    """How many there are, without reading them."""
    found = site.server.request("GET", f"{site.path(kind)}?limit=1")
    return len(found["items"]) + int(found["metadata"].get("remainingItemCount", 0))


def requests(site: Site) -> list[dict[str, Any]]:
    """What the controller has sent so far, without the renewals of its Lease."""
    return [each for each in site.server.audit(USER) if each.get("objectRef", {}).get("resource") != "leases"]


def writes(site: Site) -> int:
    return len([each for each in requests(site) if each["verb"] not in READS])


def settle(site: Site) -> None:
    """Until nothing has been written for ten seconds."""
    seen, since = -1, time.monotonic()

    def quiet() -> bool:
        nonlocal seen, since
        if (now := writes(site)) != seen:
            seen, since = now, time.monotonic()
        return time.monotonic() - since > 10.0

    patiently(quiet, "the controller to come to rest")


def at_rest(site: Site, controller: ControllerProcess, seconds: float) -> Iterator[Row]:
    written, cpu, began = writes(site), cpu_seconds(controller.pid), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    yield Row("controller.idle_cpu", "% core", 100 * (cpu_seconds(controller.pid) - cpu) / took, "lower")
    yield Row("controller.idle_memory", "MiB", resident_mib(controller.pid), "lower")
    yield Row("controller.idle_writes", "/min", (writes(site) - written) / took * 60, "lower")


def changes(site: Site, tries: int, pools: int) -> Iterator[Row]:
    """From a person's edit of one pool to what it asks for in its Deployment."""
    took = []
    for number in range(tries):
        name = f"q{number * pools // tries:03}"
        began = time.monotonic()
        site.server.merge(site.path("WorkerPool", name), {"spec": {"autoscaling": {"minWorkers": 1}}})
        site.until(lambda name=name: site.replicas(pool=name) == 1, "the least workers")
        took.append(time.monotonic() - began)
    yield Row("controller.change_p50", "s", statistics.median(took), "lower")
    yield Row("controller.change_max", "s", max(took), "lower")
    settle(site)


def decisions(site: Site, tries: int) -> Iterator[Row]:
    """One pool from zero to one worker and back, again and again: two decisions each time."""
    name = "q001"
    before, written = len(requests(site)), writes(site)
    for _ in range(tries):
        site.submit(1, queue=name)
        site.until(lambda: site.replicas(pool=name) == 1, "a worker to be asked for")
        site.finish_all(queue=name)
        site.until(lambda: site.replicas(pool=name) == 0, "no workers again")
    settle(site)
    yield Row("controller.requests_per_decision", "", (len(requests(site)) - before) / tries / 2, "lower")
    yield Row("controller.writes_per_decision", "", (writes(site) - written) / tries / 2, "lower")


def reconciles(controller: ControllerProcess) -> Row:
    """Of both kinds, from the controller's own metrics: the upper bound of the bucket with the 99th percentile."""
    counts: dict[float, float] = {}
    for bound, value in re.findall(
        r'taskfleet_reconcile_seconds_bucket{kind="\w+",le="([^"]+)"} (\S+)', controller.ask("/metrics")[1]
    ):
        counts[float(bound)] = counts.get(float(bound), 0.0) + float(value)
    total = max(counts.values())
    return Row(
        "controller.reconcile_p99_below", "s", min(at for at, seen in counts.items() if seen >= 0.99 * total), "lower"
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
