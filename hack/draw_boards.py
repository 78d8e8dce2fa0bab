"""Draw the Grafana boards from the queries in them: ``python hack/draw_boards.py URL MINUTES``.

For the pictures in ``docs/images/``. It is not Grafana: matplotlib draws what Prometheus at URL answered to each
panel's own queries over the last MINUTES, in the places that the panels have.
"""

import json
import math
import re
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.dates
from matplotlib import pyplot
from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[1]
VARIABLES = {"$__rate_interval": "30s", "$__range": "10m", "$namespace": ".*", "$queue": ".*", "$pool": ".*"}
UNITS = {"s": " s", "ops": " /s", "currencyUSD": " $", "percentunit": "", "short": ""}
POINTS = 120
MOST_LINES = 8


def ask(url: str, expression: str, minutes: float) -> list[dict[str, Any]]:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    end = time.time()
    query = {"query": expression, "start": end - 60 * minutes, "end": end, "step": 60 * minutes / POINTS}
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(query)}", timeout=30) as answer:
        return list(json.load(answer)["data"]["result"])


def legend(template: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return re.sub(r"{{\w+}}", "", template).strip()


def numbers(sample: dict[str, Any], step: float = math.inf) -> tuple[list[float], list[float]]:
    """Times and values; a NaN where more than a ``step`` of seconds is missing, so that no line is drawn there."""
    points: list[tuple[float, float]] = []
    for at, value in ((float(at), float(value)) for at, value in sample["values"]):
        if points and at - points[-1][0] > 1.5 * step:
            points.append((at - step, math.nan))
        points.append((at, value))
    # Days since 1970 are what matplotlib takes for a date.
    return [at / 86400 for at, _ in points], [value for _, value in points]


def draw_lines(axes: Axes, url: str, panel: dict[str, Any], minutes: float) -> None:
    lines = 0
    for target in panel["targets"]:
        for sample in ask(url, target["expr"], minutes)[:MOST_LINES]:
            at, values = numbers(sample, 60 * minutes / POINTS)
            axes.plot(at, values, linewidth=1.2, label=legend(target["legendFormat"], sample["metric"]))
            lines += 1
    axes.xaxis_date()
    axes.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.xaxis.get_offset_text().set_visible(False)
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=6)
    axes.grid(alpha=0.25)
    if lines:
        axes.legend(fontsize=5, loc="upper left", frameon=False)


def draw_number(axes: Axes, url: str, panel: dict[str, Any], minutes: float) -> None:
    samples = ask(url, panel["targets"][0]["expr"], minutes)
    values = numbers(samples[0])[1] if samples else []
    unit = UNITS[panel["fieldConfig"]["defaults"]["unit"]]
    text = f"{values[-1]:,.4g}{unit}" if values else "no data"
    axes.set_axis_off()
    axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=16, color="tab:green")


def draw_table(axes: Axes, url: str, panel: dict[str, Any], minutes: float) -> None:
    rows: dict[str, dict[str, str]] = {}
    for target in panel["targets"]:
        for sample in ask(url, target["expr"], minutes):
            name = "/".join(sample["metric"].values())
            rows.setdefault(name, {})[target["legendFormat"]] = f"{numbers(sample)[1][-1]:g}"
    columns = [target["legendFormat"] for target in panel["targets"]]
    axes.set_axis_off()
    cells = [[name, *(row.get(column, "") for column in columns)] for name, row in sorted(rows.items())]
    table = axes.table(cells, colLabels=["", *columns], loc="upper left", edges="horizontal")
    table.auto_set_font_size(False)
    table.set_fontsize(7)


DRAWN = {"timeseries": draw_lines, "stat": draw_number, "table": draw_table}


def draw(board: dict[str, Any], url: str, minutes: float, to: Path) -> None:
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    figure = pyplot.figure(figsize=(14, rows * 0.32 + 0.6))
    grid = figure.add_gridspec(rows, 24, hspace=2.2, wspace=2.5, left=0.04, right=0.985, top=0.95, bottom=0.02)
    for panel in board["panels"]:
        where = panel["gridPos"]
        axes = figure.add_subplot(grid[where["y"] + 1 : where["y"] + where["h"], where["x"] : where["x"] + where["w"]])
        axes.set_title(panel["title"], fontsize=8, loc="left", fontweight="bold")
        DRAWN[panel["type"]](axes, url, panel, minutes)
    figure.suptitle(board["title"], fontsize=11, x=0.03, ha="left")
    figure.savefig(to, dpi=80)
    pyplot.close(figure)
    print(f"wrote {to}")


def main(url: str, minutes: float) -> None:
    matplotlib.use("agg")
    for path in sorted((ROOT / "charts/taskfleet/dashboards").glob("*.json")):
        draw(json.loads(path.read_text()), url, minutes, ROOT / "docs" / "images" / f"board-{path.stem}.png")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
