"""From what the fleet, the store and the probes say to what planning sees."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.api.workerpool import WorkerPool
from taskfleet.controller.fleet import FleetState
from taskfleet.controller.probes import Health
from taskfleet.controller.world import PoolState
from taskfleet.core.errors import StoreError
from taskfleet.core.fallbacks import rerouted
from taskfleet.core.pool import EndpointObserved, Execution, QueueObserved, StopPolicy
from taskfleet.core.settlement import QueueStats, WorkerReport


@dataclass(frozen=True, slots=True)
class Sight:
    """A queue as the store showed it, or ``trouble`` when it could not. ``stats`` None: the store does not have it."""

    stats: QueueStats | None = None
    reports: Sequence[WorkerReport] = ()
    trouble: StoreError | None = None


def observe_queue(spec: TaskQueueSpec | None, sight: Sight, fallbacks: Mapping[str, str]) -> QueueObserved:
    """``spec`` None: there is no such TaskQueue. What waits counts for the model that serves it: with ``fallbacks`` in
    use not the one that was asked for."""
    exists, stop, execution = spec is not None, StopPolicy.NONE, Execution.WORKERS
    if spec is not None:
        stop, execution = spec.stop_policy, spec.execution
    if sight.trouble is not None:
        reason, why = type(sight.trouble).__name__, str(sight.trouble)
        return QueueObserved(exists, stop, None, reason, why, execution=execution)
    stats = sight.stats
    return QueueObserved(
        exists,
        stop,
        rerouted(stats.backlog, fallbacks) if stats else {},
        execution=execution,
        pause=stats.pause if stats else "",
    )


def usable_endpoints(seen: Mapping[str, EndpointObserved]) -> dict[str, bool | None]:
    """Whether each endpoint can serve: not when it fails its probe, nor when it fails all of its workers."""
    return {name: False if endpoint.complaint else endpoint.healthy for name, endpoint in seen.items()}


def observe_endpoints(
    pool: WorkerPool, state: PoolState, sight: Sight, health: Mapping[str, Health]
) -> dict[str, EndpointObserved]:
    """What we asked for counts as what is there: a fleet that differs is repaired, not followed.

    The store knows exactly how many tasks run; where, the workers say, some seconds late. Tasks in no report (just
    claimed, or of a worker that died) count for every endpoint with workers: in doubt a worker is busy. But no
    endpoint runs more than run in all.
    """
    reports = _by_endpoint(pool, sight.reports)
    running = sight.stats.running if sight.stats else 0
    workers = {
        endpoint.name: state.asked.get(endpoint.name, _of(state, endpoint.name).workers)
        for endpoint in pool.spec.endpoints
    }
    unreported = max(0, running - sum(report.inflight for report in sight.reports))
    extra = math.ceil(unreported / max(1, sum(1 for number in workers.values() if number)))
    observed = {}
    for endpoint in pool.spec.endpoints:
        name = endpoint.name
        number, fleet = workers[name], _of(state, name)
        probed = _own_health(fleet) if endpoint.url is None else health.get(name, Health())
        observed[name] = EndpointObserved(
            workers=number,
            ready=fleet.ready,
            inflight=min(running, sum(report.inflight for report in reports[name]) + (extra if number else 0)),
            healthy=probed.healthy,
            trouble=probed.trouble,
            stuck=fleet.trouble,
            complaint=_common(reports[name], lambda report: report.trouble),
            waits=_common(reports[name], lambda report: report.waits),
            seconds_per_task=state.pace.get(name),
            tokens_per_task=state.tokens.get(name),
            cold_start=state.cold_starts.get(name),
        )
    return observed


def _own_health(fleet: FleetState) -> Health:
    """What is inside the workers' pods, a model server or tools, is well unless it does not come up: one that is not
    asked for is not amiss."""
    return Health(False, fleet.trouble) if fleet.trouble and not fleet.ready else Health(True)


def remember_cold_starts(state: PoolState) -> None:
    """Keep what was measured beyond the life of the workers."""
    measured = {name: fleet.cold_start for name, fleet in state.fleet.items() if fleet.cold_start is not None}
    state.cold_starts.update(measured)


def remember_pace(pool: WorkerPool, state: PoolState, sight: Sight) -> None:
    """Keep the measured seconds and tokens of a task beyond the life of the workers: the next burst plans with them."""
    for name, reports in _by_endpoint(pool, sight.reports).items():
        _keep_mean(state.pace, name, [report.seconds_per_task for report in reports])
        _keep_mean(state.tokens, name, [report.tokens_per_task for report in reports])


def _keep_mean(means: dict[str, float], name: str, reported: Sequence[float | None]) -> None:
    measured = [number for number in reported if number is not None]
    if measured:
        means[name] = sum(measured) / len(measured)


def tasks_per_minute(pool: WorkerPool, reports: Sequence[WorkerReport]) -> dict[str, float]:
    return {name: sum(report.tasks_per_minute for report in own) for name, own in _by_endpoint(pool, reports).items()}


def worker_troubles(pool: WorkerPool, reports: Sequence[WorkerReport]) -> dict[str, str]:
    """What the workers of each endpoint complain of; one complaint for each endpoint that has any."""
    return {
        name: min(troubles)
        for name, own in _by_endpoint(pool, reports).items()
        if (troubles := {report.trouble for report in own if report.trouble})
    }


def _common(reports: Sequence[WorkerReport], words: Callable[[WorkerReport], str]) -> str:
    """What all of them say: "" is the least of texts, so one that works silences the others."""
    return min((words(report) for report in reports if not report.draining), default="")


def _by_endpoint(pool: WorkerPool, reports: Sequence[WorkerReport]) -> defaultdict[str, list[WorkerReport]]:
    mine: defaultdict[str, list[WorkerReport]] = defaultdict(list)
    for report in reports:
        if report.pool == pool.metadata.name and not report.gateway:
            mine[report.endpoint].append(report)
    return mine


def _of(state: PoolState, endpoint: str) -> FleetState:
    return state.fleet.get(endpoint, FleetState())
