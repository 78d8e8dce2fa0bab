"""The picture: drawn from any run, also from a very short one."""

import struct
from pathlib import Path

import pytest

from demo.figures import Sample, figures
from demo.timeline import Moment


def results(count: int) -> list[dict[str, object]]:
    return [
        {
            "status": "completed",
            "output": "positive",
            "attempts": 1,
            "usage": None,
            "queue_seconds": number / 10,
            "run_seconds": 0.5,
            "metadata": {"label": "positive"},
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("sample", [None, Sample(10, 2.0)])
@pytest.mark.parametrize("count", [1, 200])
def test_a_run_becomes_a_large_png(tmp_path: Path, count: int, sample: Sample | None) -> None:
    from demo.picture import draw  # late: matplotlib takes a while to load, in each process that collects tests

    moments = [Moment(0.1, count, 0, 0, 0, 1), Moment(21.0, 0, 0, count, 0, 1), Moment(25.0, 0, 0, count, 0, 0)]
    path = tmp_path / "demo.png"
    draw(path, figures(results(count)), results(count), moments, sample)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG")
    assert struct.unpack(">II", content[16:24]) == (1800, 1200)
    assert len(content) > 20_000, "hardly anything is drawn"
