"""The report: what was done, what came of it, and which promises hold; for people and as JSON."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chaos.checks import POISON, Evidence, Finding, forgotten
from chaos.history import History

NAMED = 5  # ids of each broken promise that are told; all are in the JSON


def figures(evidence: Evidence) -> dict[str, Any]:
    """What happened, in numbers."""
    history = evidence.history
    calls = [call for calls in history.calls.values() for call in calls]
    errors = Counter(view.error.code for view in evidence.views.values() if view and view.error)
    undisturbed = sorted(rerun.seconds for rerun in evidence.reruns if rerun.is_undisturbed)
    disturbed = [rerun for rerun in evidence.reruns if not rerun.is_undisturbed]
    return {
        "tasks accepted": len(history.accepted),
        "submissions": history.submissions,
        "of which retried and told to be duplicates": history.duplicates_told,
        "of which nobody knows": len(history.unknown),
        "model calls": len(calls),
        "answered with a fault": sum(bool(call.fault) for call in calls),
        "tasks with more than one side effect": sum(_side_effects(history, name) > 1 for name in history.calls),
        "tasks set aside after two deaths (poison)": errors[POISON],
        "of which a claim that no call came of was a death": sum(
            view is not None
            and view.error is not None
            and view.error.code == POISON
            and view.attempts > _side_effects(history, name)
            for name, view in evidence.views.items()
        ),
        "workers with a wrong clock": sum(bool(shift) for shift in history.shifted.values()),
        "troubles": {kind.value: count for kind, count in history.counted().items()},
        "accepted in a second that a power loss took, and lost": sum(
            evidence.views.get(name) is None and forgotten(evidence, at) for name, at in history.accepted.items()
        ),
        "reruns after a kill": len(undisturbed),
        "seconds until the rerun": spread(undisturbed),
        "reruns that another trouble held up": len(disturbed),
        "of which a claim was lost as well": sum(rerun.claim_lost for rerun in disturbed),
    }


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """Median, 99th percentile and maximum of sorted numbers; None of none."""
    if len(seconds) < 2:
        return {"p50": seconds[0], "p99": seconds[0], "max": seconds[0]} if seconds else None
    hundredths = statistics.quantiles(seconds, n=100, method="inclusive")
    return {"p50": round(hundredths[49], 2), "p99": round(hundredths[98], 2), "max": round(seconds[-1], 2)}


def _side_effects(history: History, name: str) -> int:
    return sum(not call.fault for call in history.calls[name])


def table(numbers: Mapping[str, Any], findings: Sequence[Finding]) -> str:
    """The one table."""
    rows = []
    for name, figure in numbers.items():
        if isinstance(figure, dict):
            rows += [(f"  {part}", _number(value)) for part, value in figure.items() if value]
            continue
        rows.append((name, _number(figure)))
    lines = [f"{name:58} {figure:>10}" for name, figure in rows]
    lines.append("")
    for finding in findings:
        count = len(finding.broken_by)
        lines.append(f"{finding.promise:58} {count:10,}   {'BROKEN' if count else 'ok'}")
        lines += [f"    {name}" for name in finding.broken_by[:NAMED]]
        if count > NAMED:
            lines.append(f"    and {count - NAMED:,} more")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
