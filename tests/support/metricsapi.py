"""A real ``taskfleet metrics-api`` process behind a real API server, which it is registered with."""

import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme

from tests.support.apiserver import ApiServer
from tests.support.waiting import wait_until

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
NAMESPACE, SERVICE = "taskfleet-system", "taskfleet-metrics-api"
PATH = f"/apis/{GROUP}/{VERSION}"


@contextlib.contextmanager
def metrics_api(server: ApiServer, login: Path, folder: Path) -> Iterator[int]:
    """Runs until the block ends; gives its port. The API server finds it by a Service that means this machine."""
    authority = write_certificate(folder)
    command = [str(Path(sys.executable).with_name("taskfleet")), "metrics-api", "--port", "0", "--status-port", "0"]
    command += ["--kubeconfig", str(login), "--tls", str(folder)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TASKFLEET_")}
    log = folder / "log"
    with log.open("w") as stderr:
        environment = {**inherited, "TASKFLEET_LOG_FORMAT": "json"}
        process = subprocess.Popen(command, env=environment, stderr=stderr)
    try:
        port = int(wait_until(lambda: _port(log), "the metrics API to serve"))
        server.apply(*_registration(port, authority))
        wait_until(lambda: served(server), "the API server to pass on to the metrics API", timeout=30)
        yield port
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()


def write_certificate(folder: Path) -> trustme.CA:
    """``tls.crt`` and ``tls.key`` in a folder; gives who signed them."""
    authority = trustme.CA()
    certificate = authority.issue_cert(f"{SERVICE}.{NAMESPACE}.svc")
    folder.mkdir(parents=True, exist_ok=True)
    certificate.private_key_pem.write_to_path(folder / "tls.key")
    (folder / "tls.crt").write_bytes(b"".join(each.bytes() for each in certificate.cert_chain_pems))
    return authority


def served(server: ApiServer) -> bool:
    found = server.request("GET", f"/apis/apiregistration.k8s.io/v1/apiservices/{VERSION}.{GROUP}")
    conditions = found.get("status", {}).get("conditions", ())
    return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)


def _port(log: Path) -> int | None:
    for line in log.read_text().splitlines():
        said: dict[str, Any] = json.loads(line)
        if said["message"] == "metrics API started":
            return int(said["port"])
    return None


def _registration(port: int, authority: trustme.CA) -> list[dict[str, Any]]:
    bundle = authority.cert_pem.bytes()
    reference = {"name": SERVICE, "namespace": NAMESPACE, "port": port}
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE, "namespace": NAMESPACE},
            "spec": {"type": "ExternalName", "externalName": "localhost"},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{VERSION}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "service": reference,
                "caBundle": base64.b64encode(bundle).decode(),
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
        },
    ]
