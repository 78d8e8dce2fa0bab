"""Fixtures over a real API server. Without ``KUBEBUILDER_ASSETS`` these tests are skipped, and the report says so."""

import asyncio
import secrets
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.apiserver.site import Site
from tests.support.apiserver import ApiServer, Servers, alone, assets, shared
from tests.support.chart import render
from tests.support.modelstub import ModelStub

ROOT = Path(__file__).parents[2]
SYSTEM, CONTROLLER = "taskfleet-system", "taskfleet-controller"
NARROW_CONTROLLER = "narrow-taskfleet-controller"
NO_ASSETS = (
    "NO REAL API SERVER: set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver "
    "(and kube-controller-manager for garbage collection) to run these tests"
)


@pytest.fixture(scope="session")
def binaries() -> Path:
    """The folder of server binaries."""
    folder = assets()
    if folder is None:
        pytest.skip(NO_ASSETS)
    return folder


@pytest.fixture(scope="session")
def apiserver(
    binaries: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[ApiServer]:
    """One real API server for the whole run, shared by all xdist workers. Use ``namespace`` to be alone in it."""
    base = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        base = base.parent
    with shared(base / "apiserver", binaries) as server:
        yield server


@pytest.fixture
def own_servers(binaries: Path, tmp_path: Path) -> Iterator[Servers]:
    """Processes of an API server of this test's own, for those that stop or restart it. Not started yet."""
    servers = Servers(tmp_path / "apiserver", binaries)
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def crds(apiserver: ApiServer) -> ApiServer:
    """The server with our custom resources installed and served."""
    with alone(apiserver):
        return install_crds(apiserver)


@pytest.fixture
def namespace(apiserver: ApiServer) -> Iterator[str]:
    """A namespace of this test's own, gone afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    apiserver.kubectl("create", "namespace", name, check=True)
    yield name
    apiserver.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def installed(crds: ApiServer) -> ApiServer:
    """The server with the custom resources and the controller's service account and role."""
    with alone(crds):
        return install_role(crds)


@pytest.fixture
def site(
    installed: ApiServer,
    namespace: str,
    store_url: str,
    stub_model: ModelStub,
    runner: asyncio.Runner,
    tmp_path: Path,
) -> Iterator[Site]:
    """A namespace for a controller that has only the rights of the installation, a real store and a model's URL."""
    login = installed.kubeconfig_of(SYSTEM, CONTROLLER, tmp_path / "controller.kubeconfig")
    made = Site(installed, namespace, login, store_url, stub_model.url, runner)
    yield made
    stop_all(made)
    refused = [
        line
        for controller in made.controllers
        for line in controller.lines
        if "cannot " in str(line) and "forbidden" in str(line)
    ]
    assert not refused, refused


@pytest.fixture
def own_site(
    own_servers: Servers, store_url: str, stub_model: ModelStub, runner: asyncio.Runner, tmp_path: Path
) -> Iterator[Site]:
    """A site on an API server of its own, watched cluster-wide, whose controller starts with no CRDs installed."""
    server = install_role(own_servers.start())
    # The store is one for the whole run, and keeps what a test before this one left in its queues.
    namespace = f"alone-{secrets.token_hex(3)}"
    server.kubectl("create", "namespace", namespace, check=True)
    login = server.kubeconfig_of(SYSTEM, CONTROLLER, tmp_path / "controller.kubeconfig")
    made = Site(server, namespace, login, store_url, stub_model.url, runner, watch_all=True)
    yield made
    stop_all(made)  # an API server that has just started may refuse for a moment: that is for these tests to survive


@pytest.fixture
def narrow(
    crds: ApiServer,
    namespace: str,
    store_url: str,
    stub_model: ModelStub,
    runner: asyncio.Runner,
    tmp_path: Path,
) -> Iterator[Site]:
    """A namespace whose controllers share the chart's Lease, and have its Roles there and nothing else."""
    objects = render({"watchNamespaces": [namespace]}, release="narrow", namespace=namespace)
    crds.apply(*(each for each in objects if each["kind"] in ("ServiceAccount", "Role", "RoleBinding")))
    login = crds.kubeconfig_of(namespace, NARROW_CONTROLLER, tmp_path / "narrow.kubeconfig")
    lease = f"{namespace}/{NARROW_CONTROLLER}"
    made = Site(crds, namespace, login, store_url, stub_model.url, runner, lease=lease)
    yield made
    stop_all(made)


def stop_all(site: Site) -> None:
    for controller in site.controllers:
        controller.stop()


def install_role(server: ApiServer) -> ApiServer:
    """Namespace, service account and roles out of ``manifests/install.yaml``."""
    wanted = {"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    documents = yaml.safe_load_all((ROOT / "manifests" / "install.yaml").read_text())
    server.apply(*(document for document in documents if document["kind"] in wanted))
    return server


def install_crds(server: ApiServer) -> ApiServer:
    """Apply ``crds/*.yaml`` and wait until they are served."""
    server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"), check=True)
    server.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s", check=True)
    return server
