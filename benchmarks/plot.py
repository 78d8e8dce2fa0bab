"""The plot of the page: every engine in every row, ours in colour."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # no window, on no machine

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.peers import FLOOR, OURS
from benchmarks.rows import Row, figure_text

COLUMNS = 4
COLOURS = {OURS: "#2f6fde", FLOOR: "#c3cad2"}
PEER = "#7b8794"


def draw(path: Path, rows: Sequence[Row]) -> None:
    """Write the plot as a PNG; rows without any peer's figure have bars of their own all the same."""
    lines = -(-len(rows) // COLUMNS)
    figure, grid = plt.subplots(lines, COLUMNS, figsize=(16, 3.6 * lines), dpi=110, squeeze=False, layout="constrained")
    for axes in grid.flat:
        axes.set_visible(False)
    for axes, row in zip(grid.flat, rows, strict=False):
        axes.set_visible(True)
        _draw_row(axes, row)
    figure.savefig(path, facecolor="white")
    plt.close(figure)


def _draw_row(axes: Axes, row: Row) -> None:
    figures = {OURS: row.ours} | {name: value for name, value in row.peers.items() if value is not None}
    ordered = sorted(figures, key=lambda name: figures[name], reverse=row.better == "lower")  # the best is on top
    bars = axes.barh(ordered, [figures[name] for name in ordered], color=[COLOURS.get(name, PEER) for name in ordered])
    axes.bar_label(bars, [f" {figure_text(figures[name])}" for name in ordered], fontsize=8)
    if max(figures.values()) > 20 * min(figures.values()):
        axes.set_xscale("log")
    axes.margins(x=0.25)
    words = row.id.partition(".")[2].replace("_", " ")
    axes.set_title(f"{words}, {row.unit} ({row.better} is better)", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
