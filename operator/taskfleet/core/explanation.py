"""Why a queue, a pool, an endpoint or a task stands as it does, in lines for people. Pure.

The sentences about objects are those of their conditions and events; what the store itself shows comes beside them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from taskfleet.core.chronicle import Chronicle, Status, conditions
from taskfleet.core.needs import count
from taskfleet.core.quantities import format_duration
from taskfleet.core.settlement import QueueStats, WorkerReport, seconds_to_serve
from taskfleet.core.task import TaskState, TaskView
from taskfleet.core.wiretime import wire_time

QUEUE, POOL, PARALLEL = "TaskQueue", "WorkerPool", "ParallelQueue"
_SUBJECTS = {QUEUE: "queue", POOL: "pool", PARALLEL: "parallel queue"}
NOBODY_LOOKED = "no controller has looked at it: is `taskfleet up` or the controller running on this store?"
NOTHING_WAITS = "nothing waits"
DECISIONS_SHOWN = 8
# The conditions whose being so (or not) is what one wishes.
_WELL = {
    "Ready": "True", "StoreReachable": "True", "Paused": "False", "Served": "True", "ScalingActive": "True",
    "ScalingLimited": "False", "ScalingDisputed": "False", "EndpointsHealthy": "True", "ServicesFound": "True",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of one queue at one moment."""

    stats: QueueStats
    reports: Sequence[WorkerReport]
    chronicle: Chronicle

    def pools(self) -> dict[str, Status]:
        """The pools that serve it, by name."""
        return {name: status for (kind, name), status in self.chronicle.said.items() if kind == POOL and status}

    def runs(self) -> dict[str, Status]:
        """The ParallelQueues on it that have not ended, by name."""
        said = {name: status for (kind, name), status in self.chronicle.said.items() if kind == PARALLEL and status}
        return {name: status for name, status in said.items() if conditions(status)["Ended"]["status"] != "True"}

    def queue(self, name: str) -> Status | None:
        return self.chronicle.said.get((QUEUE, name))


def queue_lines(name: str, scene: Scene) -> list[str]:
    """Why its tasks wait, or that none does."""
    status = scene.queue(name)
    lines = [*_numbers(scene), *_why_waiting(scene)]
    lines += [NOBODY_LOOKED] if status is None else _headline(status)
    for pool, its in scene.pools().items():
        lines += [f"pool {pool}: {line}" for line in (*_unwell(its), *_endpoint_lines(its))]
    lines += [f"parallel queue {name}: {_run_line(its)}" for name, its in scene.runs().items()]
    return lines + _decision_lines(scene)


def concerns(name: str, scene: Scene) -> list[str]:
    """Of these what keeps it, or may soon keep it, from its work; nothing when all is well."""
    status = scene.queue(name)
    lines = [] if status is not None else [NOBODY_LOOKED]
    lines += [line for line in _why_waiting(scene) if line != NOTHING_WAITS]
    lines += [] if status is None else _different(status)
    lines += [f"parallel queue {name}: {line}" for name, its in scene.runs().items() for line in _different(its)]
    return lines + [f"pool {pool}: {line}" for pool, its in scene.pools().items() for line in _different(its)]


def pool_lines(name: str, scene: Scene, endpoint: str | None = None) -> list[str]:
    """Why it, or one endpoint of it, has so many workers."""
    status = scene.pools()[name]
    lines = _endpoint_lines(status, endpoint)
    lines += _condition_lines(status) if endpoint is None else _unwell(status)
    return lines + _decision_lines(scene, (POOL, name), f"{endpoint} " if endpoint else "")


def task_lines(view: TaskView, ahead: int | None, scene: Scene, queue: str) -> list[str]:
    """Why it waits, runs or has ended so."""
    now = scene.stats.now
    if view.state.is_final:
        why = f": {view.error.code}: {view.error.message}" if view.error else ""
        return [f"it is {view.state.value}{why}; nothing will change that" + _redrive(view)]
    if view.state is TaskState.RUNNING:
        return [f"it runs on {view.worker or 'a worker'}; should that be silent for a lease, the task waits again"]
    lines = []
    if view.not_before is not None and view.not_before > now:
        wait = format_duration(view.not_before - now)
        lines.append(f"it waits for its time, {wire_time(view.not_before)}, in {wait}")
    if view.history and view.history[-1].error is not None:
        last = view.history[-1].error
        lines.append(f"its last attempt ended with {last.code}: {last.message}")
    if ahead is not None:
        seconds = seconds_to_serve(ahead, scene.reports, view.model)
        when = "" if seconds is None else f", about {format_duration(seconds)} at the present rate"
        lines.append(f"about {count(ahead, 'task')} before it{when}")
    if view.session is not None:
        lines.append(f"tasks of its session {view.session!r} run one at a time, in their order")
    serving = [name for name, status in scene.pools().items() if _serves(status)]
    if not serving:
        lines.append("no pool has a worker that is ready")
    return lines + queue_lines(queue, scene)


def _redrive(view: TaskView) -> str:
    return " but `taskfleet dlq redrive`" if view.state is TaskState.FAILED else ""


def _serves(status: Status) -> bool:
    return any(endpoint.get("ready") for endpoint in status.get("endpoints", ()))


def _numbers(scene: Scene) -> Iterator[str]:
    stats = scene.stats
    depth = ", ".join(f"{number} {priority}" for priority, number in stats.depth.items() if number)
    waiting = f"{stats.pending} waiting" + (f" ({depth})" if depth else "")
    yield f"{waiting}, {stats.scheduled} for a later time, {stats.running} running, {stats.failed} failed"
    if stats.oldest_pending_at is not None:
        yield f"the oldest has waited {format_duration(stats.now - stats.oldest_pending_at)}"
    if open_tasks := stats.pending + stats.scheduled:
        seconds = seconds_to_serve(open_tasks, scene.reports)
        yield (
            "no task ended in the last minute, so nobody can say how long they will take"
            if seconds is None
            else f"at the rate of the last minute they take about {format_duration(seconds)}"
        )


def _why_waiting(scene: Scene) -> Iterator[str]:
    stats = scene.stats
    if not stats.pending and not stats.scheduled:
        yield NOTHING_WAITS
    if stats.paused:
        yield f"it is {stats.pause}: no task is started; `taskfleet resume` ends that"
    if stats.blocked:
        yield f"{stats.blocked} of them wait for an earlier task of their session"
    if stats.scheduled and stats.next_due_at is not None and stats.next_due_at > stats.now:
        yield f"the next of those for a later time is due in {format_duration(stats.next_due_at - stats.now)}"
    for report in scene.reports:
        who = "worker" if not report.gateway else f"{report.pool}/{report.endpoint}, called by"
        if report.trouble:
            yield f"{who} {report.worker} says: {report.trouble}"
        elif report.waits:
            yield f"{who} {report.worker} waits: {report.waits}"
        elif report.gateway and report.inflight:
            yield f"{count(report.inflight, 'call')} to {report.pool}/{report.endpoint} by {report.worker} itself"


def _run_line(status: Status) -> str:
    done = f", {status['progress']} items have ended" if status.get("progress") else ""
    return f"{status['phase']}{done}: {_told('Ready', conditions(status)['Ready'])}"


def _condition_lines(status: Status) -> list[str]:
    return [_told(kind, one) for kind, one in conditions(status).items()]


def _headline(status: Status) -> list[str]:
    """Whether it is ready, and what is not as one wishes."""
    ready = conditions(status).get("Ready")
    return list(dict.fromkeys([*([_told("Ready", ready)] if ready else []), *_unwell(status)]))


def _unwell(status: Status) -> list[str]:
    found = conditions(status).items()
    return [_told(kind, one) for kind, one in found if one["status"] != _WELL.get(kind, one["status"])]


def _different(status: Status) -> list[str]:
    """What is not as one wishes, without that of which another condition says the same."""
    found = conditions(status)
    said = {one["message"]: kind for kind, one in found.items()}
    lines = (_told(kind, one) for kind, one in found.items() if said[one["message"]] == kind)
    return [line for line in lines if line in _unwell(status)]


def _told(kind: str, condition: Mapping[str, str]) -> str:
    return f"{kind} is {condition['status']}: {condition['message']} ({condition['reason']})"


def _endpoint_lines(status: Status, only: str | None = None) -> list[str]:
    lines = []
    for endpoint in status.get("endpoints", ()):
        if only is not None and endpoint["name"] != only:
            continue
        health = {True: "healthy", False: "not healthy"}.get(endpoint.get("healthy"), "not probed yet")
        workers, ready, inflight = (endpoint.get(number, 0) for number in ("workers", "ready", "inflight"))
        why = endpoint.get("message") or endpoint.get("reason") or "nothing was decided yet"
        have = f"{_number(workers, 'worker')}, {ready} ready, {_number(inflight, 'task')} in flight"
        lines.append(f"{endpoint['name']} ({health}) has {have}: {why}")
    return lines


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _decision_lines(scene: Scene, of: tuple[str, str] | None = None, begins: str = "") -> list[str]:
    found = [
        f"{wire_time(one.at)} {_SUBJECTS[one.kind]} {one.name}: {one.message} ({one.reason})"
        for one in scene.chronicle.decisions
        if (of is None or (one.kind, one.name) == of) and one.message.startswith(begins)
    ][:DECISIONS_SHOWN]
    return ["the last decisions, newest first:", *(f"  {line}" for line in found)] if found else []
