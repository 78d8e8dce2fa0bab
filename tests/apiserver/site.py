"""One namespace as a test sees it: manifests in, what the controller made of them out."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from taskfleet.core.names import deployment_name, worker_labels
from taskfleet.core.settlement import Settlement, Verdict, WorkerReport
from taskfleet.core.task import NewTask, QueueKey, new_task_id
from taskfleet.store import Store
from tests.support.apiserver import ApiServer
from tests.support.controllerprocess import ControllerProcess
from tests.support.waiting import wait_until

Object = dict[str, Any]
MODEL = "stub"
PATIENCE = 20.0
COLLECTION = (
    90.0  # Kubernetes' own collector looks every 30 s whether there are new kinds, and collects nothing meanwhile
)


class Site:
    """Everything in one namespace, plus tasks in the store of its queues."""

    def __init__(
        self,
        server: ApiServer,
        namespace: str,
        login: Path,
        store_url: str,
        model_url: str,
        runner: asyncio.Runner,
        *,
        watch_all: bool = False,
        lease: str = "",
    ) -> None:
        self.server = server
        self.namespace = namespace
        self.login = login
        self.store_url = store_url
        self.model_url = model_url
        self.controllers: list[ControllerProcess] = []
        self._runner = runner
        self._watch_all = watch_all
        self.lease = lease

    def start_controller(self, login: Path | None = None) -> ControllerProcess:
        """With the site's login, or one of its own."""
        process = ControllerProcess(
            kubeconfig=login or self.login,
            store_url=self.store_url,
            namespace="" if self._watch_all else self.namespace,
            lease=self.lease,
        )
        self.controllers.append(process)
        return process

    # Manifests

    def queue(self, name: str = "demo", **spec: Any) -> Object:
        models = {"models": [{"name": MODEL}]}
        return self._object("TaskQueue", name, {**models, **spec})

    def pool(
        self, name: str = "demo", *, queue: str = "demo", endpoints: Iterable[str] = ("one",), **spec: Any
    ) -> Object:
        fast = {"scaleDownDelay": "1s", "scaleToZeroDelay": "1s", "maxWorkers": 5, "targetBacklogPerWorker": 1}
        made = [self.endpoint(endpoint) for endpoint in endpoints]
        return self._object(
            "WorkerPool", name, {"queueRef": {"name": queue}, "endpoints": made, "autoscaling": fast, **spec}
        )

    def parallel(self, name: str, items: Any, *actions: str, **spec: Any) -> Object:
        """A ParallelQueue whose steps, called a, b and so on, ask the model these."""
        steps = [{"name": step, "action": action} for step, action in zip("abcdef", actions, strict=False)]
        own = {"queueRef": {"name": "demo"}, "items": items, "actionLoop": steps}
        return self._object("ParallelQueue", name, {**own, **spec})

    def config_map(self, name: str, **data: str) -> Object:
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}

    def endpoint(self, name: str, **fields: Any) -> Object:
        return {"name": name, "url": self.model_url, "models": [MODEL], "concurrency": 1, **fields}

    def _object(self, kind: str, name: str, spec: Object) -> Object:
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": "taskfleet.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}

    def apply(self, *objects: Object) -> None:
        """As ``kubectl apply --server-side`` of a person."""
        for obj in objects:
            manager = "fieldManager=somebody&force=true"
            path = f"{self.path(obj['kind'], obj['metadata']['name'])}?{manager}"
            self.server.request("PATCH", path, obj, "application/apply-patch+yaml")

    def delete(self, kind: str, name: str = "demo") -> None:
        self.server.request("DELETE", self.path(kind, name))

    def path(self, kind: str, name: str = "", subresource: str = "") -> str:
        root, plural = {
            "TaskQueue": ("/apis/taskfleet.dev/v1alpha1", "taskqueues"),
            "WorkerPool": ("/apis/taskfleet.dev/v1alpha1", "workerpools"),
            "ParallelQueue": ("/apis/taskfleet.dev/v1alpha1", "parallelqueues"),
            "Deployment": ("/apis/apps/v1", "deployments"),
            "Secret": ("/api/v1", "secrets"),
            "ConfigMap": ("/api/v1", "configmaps"),
            "Pod": ("/api/v1", "pods"),
            "Service": ("/api/v1", "services"),
            "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
            "Event": ("/apis/events.k8s.io/v1", "events"),
            "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
        }[kind]
        parts = [f"{root}/namespaces/{self.namespace}/{plural}", name, subresource]
        return "/".join(part for part in parts if part)

    # What is there

    def get(self, kind: str, name: str = "demo") -> Object | None:
        found: Object | None = self.server.request("GET", self.path(kind, name))
        return found

    def list(self, kind: str) -> list[Object]:
        items: list[Object] = self.server.request("GET", self.path(kind))["items"]
        return items

    def deployment(self, endpoint: str = "one", pool: str = "demo") -> Object | None:
        return self.get("Deployment", deployment_name(pool, endpoint))

    def replicas(self, endpoint: str = "one", pool: str = "demo") -> int | None:
        found = self.deployment(endpoint, pool)
        return None if found is None else int(found["spec"]["replicas"])

    def condition(self, kind: str, wanted: str, name: str = "demo") -> Object:
        """A condition of an object; an empty dict while it has none."""
        conditions = ((self.get(kind, name) or {}).get("status") or {}).get("conditions", ())
        return next((condition for condition in conditions if condition["type"] == wanted), {})

    def reasons(self) -> set[str]:
        """The reasons of all events so far."""
        return {event["reason"] for event in self.list("Event")}

    # What a test does beside

    def submit(self, count: int = 1, queue: str = "demo", model: str = MODEL) -> None:
        tasks = [
            NewTask(new_task_id(), model, b'{"messages": [], "parameters": {}, "metadata": {}}') for _ in range(count)
        ]
        key = QueueKey(self.namespace, queue)
        self.until(lambda: self.in_store(lambda store: store.policy(key)), "the queue to be in the store")
        self.in_store(lambda store: store.submit(key, tasks))

    def finish_all(self, queue: str = "demo") -> int:
        """Claim and complete everything that waits, as a worker would. Gives the number of tasks."""

        async def work(store: Store) -> int:
            done = 0
            while claim := (await store.claim(QueueKey(self.namespace, queue), "tester", [MODEL], 100)).tasks:
                settled = [Settlement(task.id, task.fence, Verdict.COMPLETE, output="ok") for task in claim]
                done += sum(await store.settle(QueueKey(self.namespace, queue), settled))
            return done

        return int(self.in_store(work))

    def in_store(self, work: Callable[[Store], Any]) -> Any:
        async def connected() -> Any:
            store = await Store.connect(self.store_url)
            try:
                return await work(store)
            finally:
                await store.close()

        return self._runner.run(connected())

    def make_worker(self, name: str, endpoint: str = "one", pool: str = "demo") -> None:
        """A pod as the Deployment of an endpoint would have made it."""
        meta = {"name": name, "labels": worker_labels(pool, endpoint), "annotations": {"taskfleet.dev/store": "x"}}
        container = {"name": "worker", "image": "example.invalid/none"}
        spec = {"containers": [container], "automountServiceAccountToken": False}
        self.server.kubectl("create", "serviceaccount", "default", "-n", self.namespace)
        self.server.request(
            "POST", self.path("Pod"), {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
        )

    def report(self, worker: str, inflight: int, endpoint: str = "one", pool: str = "demo") -> None:
        """What a worker says of itself."""
        said = WorkerReport(worker, pool, endpoint, 8, inflight)
        self.in_store(lambda store: store.heartbeat(QueueKey(self.namespace, "demo"), said, {}))

    def set_ready(self, ready: int, endpoint: str = "one", pool: str = "demo") -> None:
        """Say that the Deployment has this many ready pods, as its controller would."""
        status = {"replicas": ready, "readyReplicas": ready, "updatedReplicas": ready, "availableReplicas": ready}
        name = deployment_name(pool, endpoint)
        self.server.merge(self.path("Deployment", name, "status"), {"status": status})

    def until(self, predicate: Callable[[], Any], what: str, *, timeout: float = PATIENCE) -> Any:
        """A bounded wait whose failure shows what the controllers said."""
        try:
            return wait_until(predicate, what, timeout=timeout)
        except AssertionError as error:
            said = [line for controller in self.controllers for line in controller.lines[-15:]]
            shown = {
                kind: [obj.get("status") for obj in self.list(kind)]
                for kind in ("TaskQueue", "WorkerPool", "ParallelQueue")
            }
            raise AssertionError(f"{error}; the controller said {said}; status: {shown}") from None
