"""What nobody inside a pod can do to it: SIGKILL to its first process, from the node. For clusters that are ours."""

import contextlib
from collections.abc import Iterator

from tests.e2e.cluster import Cluster
from tests.e2e.conftest import IMAGE

_NAME = "taskfleet-e2e-nodeside"
# A container's host name is its pod's name. Not what its processes have in their environment: Valkey writes over that.
_KILL = """
import os, signal, sys
pod, program = sys.argv[1].encode(), sys.argv[2].encode()
own = []
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        host, command = (open(f"/proc/{name}/{each}", "rb").read() for each in ("root/etc/hostname", "cmdline"))
        if host.strip() == pod and program in command:
            own.append(int(name))
    except OSError:
        pass
for pid in own:
    os.kill(pid, signal.SIGKILL)
print(len(own))
"""


class NodeSide:
    """A pod that sees the processes of its node."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def kill(self, pod: str, program: str = "") -> None:
        """SIGKILL to what runs in a pod and has ``program`` in its command. Fails the test when nothing did."""
        where = ("exec", "-n", "default", _NAME, "--", "python", "-c", _KILL, pod, program)
        killed = self._cluster.kubectl(*where)
        assert int(killed) > 0, f"no process of {pod} was found on the node"


@contextlib.contextmanager
def node_side(cluster: Cluster) -> Iterator[NodeSide]:
    container = {
        "name": "node",
        "image": IMAGE,
        "command": ["python", "-c", "import time; time.sleep(1e9)"],
        "securityContext": {"privileged": True, "runAsUser": 0},
    }
    spec = {"hostPID": True, "terminationGracePeriodSeconds": 0, "containers": [container]}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": _NAME, "namespace": "default"}, "spec": spec}
    )
    try:
        cluster.kubectl("wait", "--for=condition=Ready", f"pod/{_NAME}", "-n", "default", "--timeout=60s", seconds=70)
        yield NodeSide(cluster)
    finally:
        cluster.kubectl("delete", "pod", _NAME, "-n", "default", "--grace-period=0", "--force")
