"""Why an endpoint gets another number of workers than it needs, in words: limits, delays, an HPA. No decisions."""

from taskfleet.core.needs import Need, count
from taskfleet.core.pool import PoolPolicy
from taskfleet.core.quantities import format_duration
from taskfleet.core.scaling import Patience


def decided_need(
    pool: PoolPolicy, limits: PoolPolicy, patience: Patience | None, need: Need, workers: int, *, at_minimum: bool
) -> Need:
    """The need as an endpoint gets it, with ``workers``.

    ``limits`` are those that were applied: the pool's or an HPA's.
    ``patience``: how long a smaller need must last, None where it is acted on at once. ``at_minimum``: the pool has no
    more workers than its minimum.
    """
    if limits is not pool and (
        workers > need.workers or (workers < need.workers and limits.max_workers < pool.max_workers)
    ):
        return _as_the_hpa_says(pool, limits.max_workers, need, workers)
    if workers < need.workers:
        return Need(workers, "PoolMaxWorkers", f"{need.message}; maxWorkers of the pool is {pool.max_workers}")
    if workers == need.workers:
        return need
    if at_minimum or patience is None:
        return Need(workers, "PoolMinWorkers", f"{need.message}; minWorkers of the pool is {pool.min_workers}")
    return Need(workers, "ScaleDownDelayed", _delayed(need, workers, patience))


def _as_the_hpa_says(pool: PoolPolicy, replicas: int, need: Need, workers: int) -> Need:
    said = f"{need.message}; spec.replicas is {replicas}"
    if workers < need.workers:
        return Need(workers, "AwaitsHPA", f"{said}, until the HPA raises it")
    if workers == 1 and pool.min_workers == 0:
        delay = f"scaleToZeroDelay ({format_duration(pool.patience.scale_to_zero)})"
        return Need(workers, "KeptByHPA", f"{need.message}; the last worker goes when that has lasted {delay}")
    return Need(workers, "KeptByHPA", f"{said}, until the HPA lowers it")


def _delayed(need: Need, workers: int, patience: Patience) -> str:
    """Names the setting and not the seconds left: a text that changes by itself would be written again and again."""
    delay = f"scaleDownDelay ({format_duration(patience.scale_down)})"
    if need.workers == 0 and (workers == 1 or patience.scale_to_zero <= patience.scale_down):
        delay = f"scaleToZeroDelay ({format_duration(patience.scale_to_zero)})"
    stays = "its worker stays" if workers == 1 else f"its {count(workers, 'worker')} stay"
    return f"{need.message}; {stays} until that has lasted {delay}"
