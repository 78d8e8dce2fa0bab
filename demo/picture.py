"""The demo's picture: backlog, workers and throughput over time, on one page for a talk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window, on no machine

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from demo.figures import Figures, Sample, finish_times
from demo.timeline import Moment, course, rate_over_time

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BACKLOG, WORKERS, PACE = "#2f6fde", "#f08c2e", "#1b998b"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
LEFT = 0.06  # of the width: where the axes begin
RATE_OVER_SECONDS = 4.0


def draw(
    path: Path,
    numbers: Figures,
    results: Sequence[Mapping[str, Any]],
    moments: Sequence[Moment],
    sample: Sample | None,
) -> None:
    """Write the picture as a PNG of 1800 x 1200 pixels."""
    end = moments[-1].seconds + 1
    with plt.rc_context(STYLE):
        figure, (backlog, workers, pace) = plt.subplots(
            3, 1, figsize=(12, 8), dpi=150, sharex=True, gridspec_kw={"height_ratios": [2.6, 2, 2.4], "hspace": 0.42}
        )
        figure.subplots_adjust(left=LEFT, right=0.97, top=0.82, bottom=0.075)
        _headline(figure, numbers, moments)
        _draw_backlog(backlog, numbers, moments)
        _draw_workers(workers, moments, end)
        _draw_pace(pace, numbers, results, sample, end)
        for axes in (backlog, workers, pace):
            axes.axvline(numbers.wall_seconds, color=MUTED, linewidth=1.2, linestyle=(0, (1, 2)))
            _tidy(axes)
        backlog.text(
            numbers.wall_seconds, numbers.tasks, "  last answer", color=MUTED, fontsize=11, va="center", ha="left"
        )
        pace.set_xlim(-0.5, end)
        pace.set_xlabel("seconds after the submit")
        figure.savefig(path, facecolor="white")
        plt.close(figure)


def _headline(figure: Any, numbers: Figures, moments: Sequence[Moment]) -> None:
    turns = " → ".join(map(str, course([0, *(moment.workers for moment in moments)])))
    figure.text(LEFT, 0.938, f"{numbers.tasks} reviews, workers {turns}", fontsize=24, fontweight="bold")
    figure.text(
        LEFT,
        0.897,
        f"SmolLM2-135M on one machine: {numbers.completed} answers in {numbers.wall_seconds:.1f} s, "
        f"{numbers.accuracy:.1%} of the labels as people gave them, {numbers.retries} retries",
        fontsize=13.5,
        color=MUTED,
    )


def _draw_backlog(axes: Axes, numbers: Figures, moments: Sequence[Moment]) -> None:
    seconds = [0.0, *(moment.seconds for moment in moments)]
    left = [numbers.tasks, *(moment.waiting + moment.running for moment in moments)]
    axes.fill_between(seconds, left, color=BACKLOG, alpha=0.18, linewidth=0)
    axes.plot(seconds, left, color=BACKLOG, linewidth=2.5, clip_on=False, zorder=3)
    axes.set_ylim(0, numbers.tasks * 1.1)
    _title(axes, "Backlog", "tasks waiting or running", BACKLOG)


def _draw_workers(axes: Axes, moments: Sequence[Moment], end: float) -> None:
    seconds = [-0.5, 0.0, *(moment.seconds for moment in moments), end]
    counts = [0, 0, *(moment.workers for moment in moments), moments[-1].workers]
    most = max(counts)
    axes.fill_between(seconds, counts, step="post", color=WORKERS, alpha=0.25, linewidth=0)
    axes.step(seconds, counts, where="post", color=WORKERS, linewidth=2.5, clip_on=False, zorder=3)
    axes.set_ylim(0, most + 0.6)
    axes.set_yticks(range(0, most + 1, max(1, most // 4)))
    _title(axes, "Workers", "started when tasks came, gone when none were left", WORKERS)


def _draw_pace(
    axes: Axes, numbers: Figures, results: Sequence[Mapping[str, Any]], sample: Sample | None, end: float
) -> None:
    points = rate_over_time(finish_times(results), numbers.wall_seconds, RATE_OVER_SECONDS)
    seconds, rates = zip(*points, strict=True)
    axes.fill_between(seconds, rates, color=PACE, alpha=0.18, linewidth=0)
    axes.plot(seconds, rates, color=PACE, linewidth=2.5)
    top = max(rates)
    if sample is not None:
        alone = sample.calls_per_second
        top = max(top, alone)
        axes.axhline(alone, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        note = axes.text(end, alone, f"one after another: {alone:.1f} ", ha="right", va="bottom", fontsize=11)
        note.set_path_effects([withStroke(linewidth=4, foreground="white")])
    axes.set_ylim(0, top * 1.2)
    _title(axes, "Throughput", f"tasks a second; {numbers.tasks_per_second:.1f} over the whole run", PACE)


def _title(axes: Axes, word: str, remark: str, color: str) -> None:
    title = axes.annotate(
        word, (0, 1), (0, 12), xycoords="axes fraction", textcoords="offset points", fontsize=15, fontweight="bold"
    )
    title.set_color(color)
    axes.annotate(remark, (1, 0), (10, 4.5), xycoords=title, textcoords="offset points", fontsize=12, color=MUTED)


def _tidy(axes: Axes) -> None:
    axes.grid(axis="y", color=GRID, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
