"""The watch on our objects, worker Deployments, Services and HPAs, by kopf, which only hands on what it sees.

kopf runs on a thread and an event loop of its own: when it stops it cancels every task of its loop that it did not
find there at its start, which must not be the reconciler's. No create, update or delete handlers, daemons or timers:
those make kopf write annotations and finalizers of its own.
"""

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import kopf

from taskfleet.controller.cluster.cache import Object
from taskfleet.controller.cluster.feed import AUTOSCALER, DEPLOYMENT, SERVICE
from taskfleet.controller.cluster.resync import WORKER_SELECTOR
from taskfleet.core.names import GROUP, VERSION
from taskfleet.kube import load_login
from taskfleet.kube.client import PAGE_OBJECTS
from taskfleet.kube.login import bearer_token

log = logging.getLogger(__name__)

FIRST_RESTART_SECONDS = 0.5
LAST_RESTART_SECONDS = 10.0
STOP_SECONDS = 15.0

OnEvent = Callable[[str, str | None, Object], None]
"""Takes kind, type of the event (None: from kopf's own list) and object."""


class _ForEver(Iterable[float]):
    """Delays between tries of a request, growing to 5 s and never ending."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.1, 0.2, 0.5, 1.0, 2.0), itertools.repeat(5.0))


def quieten_kopf() -> None:
    """Of kopf's log lines only those that tell of trouble: it has one for every event of every object."""
    logging.getLogger("kopf").setLevel(logging.WARNING)
    # It warns that it takes no signals on this thread, where it is meant not to.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)


def settings() -> kopf.OperatorSettings:
    """kopf's knobs, each with the reason for it."""
    chosen = kopf.OperatorSettings()
    # Events are ours to word and to post; kopf would post its log lines.
    chosen.posting.enabled = False
    # What is served is known: no right to watch CRDs and namespaces is needed. Missing CRDs are noticed before.
    chosen.scanning.disabled = True
    # Out of tries, kopf would give up a watch for good: a long outage of the API server must not end in deafness.
    chosen.networking.error_backoffs = _ForEver()
    # A server that has vanished without a word is noticed in seconds, not after the operating system's minutes.
    chosen.networking.connect_timeout = 10.0
    chosen.networking.request_timeout = 60.0
    # A page of a long list at a time, for all of them at once would be the most memory that we ever take.
    chosen.watching.chunk_size = PAGE_OBJECTS
    # kopf has a task for each object that it saw of late, and at the start it sees all of them: let them end soon.
    chosen.queueing.idle_timeout = 0.1
    # The selector works in the API server: Deployments of others never reach us.
    chosen.watching.label_selectors["apps", "v1", "deployments"] = WORKER_SELECTOR
    # By default kopf kills the process 10 minutes after asking it to stop; stopping is ours.
    chosen.process.ultimate_exiting_timeout = None
    return chosen


def registry(kubeconfig: str | None, on_event: OnEvent) -> kopf.OperatorRegistry:
    """The handlers, made anew for each controller: nothing is registered by importing a module."""
    made = kopf.OperatorRegistry()

    @kopf.on.login(registry=made, id="login", backoff=2.0)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _connection(kubeconfig)

    def hand_on(kind: str) -> Callable[..., Any]:
        async def seen(event: Any, **_: Any) -> None:
            on_event(kind, event["type"], dict(event["object"]))

        return seen

    kopf.on.event(GROUP, VERSION, "taskqueues", registry=made, id="queue")(hand_on("TaskQueue"))
    kopf.on.event(GROUP, VERSION, "workerpools", registry=made, id="pool")(hand_on("WorkerPool"))
    kopf.on.event(GROUP, VERSION, "parallelqueues", registry=made, id="parallel")(hand_on("ParallelQueue"))
    kopf.on.event("apps", "v1", "deployments", registry=made, id="deployment")(hand_on(DEPLOYMENT))
    kopf.on.event("", "v1", "services", registry=made, id="service")(hand_on(SERVICE))
    kopf.on.event("autoscaling", "v2", "horizontalpodautoscalers", registry=made, id="hpa")(hand_on(AUTOSCALER))
    return made


async def _connection(kubeconfig: str | None) -> kopf.ConnectionInfo:
    login = await load_login(kubeconfig)
    return kopf.ConnectionInfo(
        server=login.host,
        ca_path=login.ssl_ca_cert,
        insecure=not login.verify_ssl,
        username=login.username or None,
        password=login.password or None,
        token=bearer_token(login),
        certificate_path=login.cert_file,
        private_key_path=login.key_file,
        proxy_url=login.proxy,
    )


class Watch:
    """Runs kopf until stopped, and again whenever it ends by itself."""

    def __init__(self, kubeconfig: str | None, namespaces: Sequence[str], on_event: OnEvent) -> None:
        self._kubeconfig = kubeconfig
        self._namespaces = namespaces
        self._on_event = on_event
        self._thread = threading.Thread(target=self._serve, name="watch", daemon=True)
        self._stop = threading.Event()
        self._watching = threading.Event()

    @property
    def trouble(self) -> str:
        """Why nothing is watched, or "" when it is."""
        return "" if self._watching.is_set() else "the watch is not open (yet); the log says why"

    def start(self) -> None:
        """Start watching; ``on_event`` is called on the calling task's event loop."""
        quieten_kopf()
        self._home = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)

    def _serve(self) -> None:
        delay, said = FIRST_RESTART_SECONDS, ""
        while not self._stop.is_set():
            try:
                asyncio.run(self._watch_once())
            except Exception as error:
                # Whatever ended it (a kind that is no longer served, an answer that makes no sense) may pass.
                if repr(error) != said:
                    log.exception("the watch broke; it is opened again and again")
                said = repr(error)
            delay = FIRST_RESTART_SECONDS if self._watching.is_set() else min(2 * delay, LAST_RESTART_SECONDS)
            self._watching.clear()
            self._stop.wait(delay)

    async def _watch_once(self) -> None:
        made = registry(self._kubeconfig, self._hand_home)
        options: dict[str, Any] = {"namespaces": self._namespaces} if self._namespaces else {"clusterwide": True}
        # kopf would make itself a name from that of the user, which the user of a container has not.
        options["identity"] = "taskfleet"
        await kopf.operator(
            registry=made,
            settings=settings(),
            standalone=True,
            stop_flag=self._stop,
            ready_flag=self._watching,
            **options,
        )

    def _hand_home(self, kind: str, event_type: str | None, obj: Object) -> None:
        self._home.call_soon_threadsafe(self._on_event, kind, event_type, obj)
