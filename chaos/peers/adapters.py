"""Each peer: what to install, how its worker is started, at default settings, and which file of ``apps/`` it runs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """``worker`` is the command line in its environment's ``bin``; ``app`` a module of ``apps/`` that holds the task,
    and that enqueues one for each of its arguments when it is run."""

    name: str
    packages: tuple[str, ...]
    app: str
    worker: tuple[str, ...]

    @property
    def environment(self) -> str:
        """Peers with the same packages share one."""
        return "_".join(package.partition("=")[0].partition("[")[0] for package in self.packages)


_TASKIQ = ("taskiq==0.13.0", "taskiq-redis==1.2.4")

PEERS = (
    Peer("taskiq, list", _TASKIQ, "taskiq_list", ("taskiq", "worker", "taskiq_list:broker")),
    Peer("taskiq, stream", _TASKIQ, "taskiq_stream", ("taskiq", "worker", "taskiq_stream:broker")),
    Peer("arq", ("arq==0.28.0",), "arq_app", ("arq", "arq_app.WorkerSettings")),
    Peer("dramatiq", ("dramatiq[redis]==2.2.1",), "dramatiq_app", ("dramatiq", "dramatiq_app")),
    Peer("celery, acks_late", ("celery[redis]==5.7.0",), "celery_app", ("celery", "-A", "celery_app", "worker")),
)
