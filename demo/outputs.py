"""What the demo leaves behind, in one folder."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from demo.figures import Figures, Sample
from demo.timeline import Moment


class Outputs:
    """``folder`` is made when it is not there; files of an earlier run are replaced."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.tasks = folder / "tasks.jsonl"
        self.results = folder / "results.jsonl"
        self.timeline = folder / "timeline.jsonl"
        self.summary = folder / "summary.json"
        self.picture = folder / "demo.png"

    def save_tasks(self, tasks: Sequence[Mapping[str, Any]]) -> None:
        _write_lines(self.tasks, tasks)

    def read_results(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.results.read_bytes().splitlines()]

    def save_timeline(self, moments: Sequence[Moment]) -> None:
        _write_lines(self.timeline, [dataclasses.asdict(moment) for moment in moments])

    def save_summary(self, numbers: Figures, sample: Sample | None, workers: Sequence[int]) -> None:
        one_after_another = sample and {**dataclasses.asdict(sample), "calls_per_second": sample.calls_per_second}
        summary = {**numbers.to_json(), "workers": list(workers), "one_after_another": one_after_another}
        self.summary.write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2) + b"\n")

    def save_picture(
        self, numbers: Figures, results: Sequence[Mapping[str, Any]], moments: Sequence[Moment], sample: Sample | None
    ) -> None:
        from demo.picture import draw  # late: matplotlib takes a while to load

        draw(self.picture, numbers, results, moments, sample)


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
