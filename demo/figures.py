"""The demo's figures, computed from result lines alone, so that anybody can compute them again from results.jsonl."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LABELS = ("positive", "negative")
ResultLine = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a batch of labelled tasks came to. Seconds; rates are tasks a second.

    ``wall_seconds`` runs from the submit to the last answer. ``right`` counts answers equal to the label that people
    gave, ``most_common`` how many would be right by always giving the commonest label.
    """

    tasks: int
    completed: int
    failed: int
    wall_seconds: float
    tasks_per_second: float
    call_p50_seconds: float
    call_p95_seconds: float
    tokens_in: int
    tokens_out: int
    retries: int
    right: int
    most_common: int

    @property
    def accuracy(self) -> float:
        return self.right / self.tasks if self.tasks else 0.0

    @property
    def chance(self) -> float:
        return self.most_common / self.tasks if self.tasks else 0.0

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"accuracy": self.accuracy, "chance": self.chance}


@dataclass(frozen=True, slots=True)
class Sample:
    """The same calls made one after another, for comparison: how many, and in how many seconds."""

    calls: int
    seconds: float

    @property
    def calls_per_second(self) -> float:
        return self.calls / self.seconds

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(self.calls + other.calls, self.seconds + other.seconds)


def figures(results: Sequence[ResultLine]) -> Figures:
    """The figures of a finished batch, submitted as a whole."""
    finished = finish_times(results)
    wall = finished[-1] if finished else 0.0
    calls = sorted(line["run_seconds"] for line in results if line["run_seconds"] is not None)
    usages = [line["usage"] for line in results if line["usage"]]
    labels = [line["metadata"]["label"] for line in results]
    return Figures(
        tasks=len(results),
        completed=sum(line["status"] == "completed" for line in results),
        failed=sum(line["status"] != "completed" for line in results),
        wall_seconds=wall,
        tasks_per_second=len(finished) / wall if wall else 0.0,
        call_p50_seconds=percentile(calls, 0.50),
        call_p95_seconds=percentile(calls, 0.95),
        tokens_in=sum(usage["input_tokens"] for usage in usages),
        tokens_out=sum(usage["output_tokens"] for usage in usages),
        retries=sum(max(0, line["attempts"] - 1) for line in results),
        right=sum(label_of(line) == line["metadata"]["label"] for line in results),
        most_common=max(map(labels.count, LABELS), default=0),
    )


def label_of(line: ResultLine) -> str | None:
    """The label that the model gave; None when its answer is not one."""
    if line["status"] != "completed" or not isinstance(line["output"], str):
        return None
    answer = line["output"].strip().rstrip(".").lower()
    return answer if answer in LABELS else None


def finish_times(results: Sequence[ResultLine]) -> list[float]:
    """When each completed task had its answer, in seconds after the submit, in order."""
    return sorted(line["queue_seconds"] + line["run_seconds"] for line in results if line["status"] == "completed")


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of all values do not exceed; 0 when there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def rows(numbers: Figures, sample: Sample | None, workers: Sequence[int]) -> list[tuple[str, str, str]]:
    """The closing table: what, how much, and a remark."""
    table = [
        ("tasks", f"{numbers.tasks}", f"{numbers.completed} completed, {numbers.failed} failed"),
        ("workers", " → ".join(map(str, workers)), "processes here, pods in a cluster"),
        ("wall time", f"{numbers.wall_seconds:.1f} s", "from the submit to the last answer"),
        ("throughput", f"{numbers.tasks_per_second:.1f} tasks/s", ""),
    ]
    if sample is not None:
        times = numbers.tasks_per_second / sample.calls_per_second
        remark = f"{sample.calls} calls; Taskfleet: {times:.1f} times"
        table.append(("one after another", f"{sample.calls_per_second:.1f} tasks/s", remark))
    call = f"p50 {numbers.call_p50_seconds:.2f} s, p95 {numbers.call_p95_seconds:.2f} s"
    chance = f"guessing: {numbers.chance:.1%}"
    return [
        *table,
        ("latency of a call", call, ""),
        ("tokens", f"{numbers.tokens_in:,} in, {numbers.tokens_out:,} out", "as the model server counted"),
        ("retries", f"{numbers.retries}", ""),
        ("accuracy", f"{numbers.accuracy:.1%}", f"{numbers.right} of {numbers.tasks} right; {chance}"),
    ]
