"""The page ``docs/benchmarks.md``: what is between its markers is written anew by each whole run."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.goals import Goal, best_peer, goal_of, times_better
from benchmarks.peers import ENGINES, FLOOR, OURS
from benchmarks.plot import draw
from benchmarks.rows import Findings, Row, figure_text

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "benchmarks.md"
PLOT = DOCS / "images" / "benchmarks.png"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
ENGINE_GROUP = "queue."


def write(found: Findings, where: str, rounds: int) -> None:
    """Put a run's figures on the page, and draw its plot."""
    text = PAGE.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{render(found, where, rounds)}\n{END}{after}")
    draw(PLOT, [row for row in found.rows if row.id.startswith(ENGINE_GROUP)])


def render(found: Findings, where: str, rounds: int) -> str:
    """The figures of a run as Markdown."""
    engines = [row for row in found.rows if row.id.startswith(ENGINE_GROUP)]
    others = [row for row in found.rows if row not in engines]
    versions = [f"{name}: {words}" for name, words in found.versions.items()]
    parts = [
        *(f"{line}." for line in where.splitlines()),
        f"Peers: {'; '.join(versions)}." if versions else "No peers.",
        f"Each figure is the median of up to {rounds} rounds.",
        f"![Every engine in every row]({PLOT.relative_to(PAGE.parent)})",
        "### Engines",
        _table(_engine_lines(engines)),
        "### Against the goals",
        _table(_goal_lines(engines)),
    ]
    if others:
        parts += ["### The others", _table(_other_lines(others))]
    if found.notes:
        parts.append("\n".join(["Not measured:", "", *(f"- {note}" for note in found.notes)]))
    return "\n\n".join(parts) + "\n"


def _engine_lines(rows: Sequence[Row]) -> Iterable[Sequence[str]]:
    yield ["engine", *(f"{row.id.removeprefix(ENGINE_GROUP).replace('_', ' ')}, {row.unit}" for row in rows)]
    for engine in ENGINES:
        figures = (row.ours if engine.name == OURS else row.peers.get(engine.name) for row in rows)
        name = f"**{engine.name}**" if engine.name == OURS else engine.name
        yield [f"{name} ({engine.note})" if engine.note else name, *map(_figure, figures)]


def _goal_lines(rows: Sequence[Row]) -> Iterable[Sequence[str]]:
    yield ["row", "ours", "best peer", "times better", "best in Python", "times better", "floor", "goal", "reached"]
    for row in rows:
        goal = goal_of(row)
        yield [
            f"`{row.id}`",
            _figure(row.ours),
            *_against(row, best_peer(row)),
            *_against(row, best_peer(row, python=True)),
            _figure(row.peers.get(FLOOR)),
            goal.text if goal else "",
            _reached(goal, row),
        ]


def _against(row: Row, peer: tuple[str, float] | None) -> tuple[str, str]:
    return ("-", "-") if peer is None else (f"{peer[0]} {_figure(peer[1])}", f"{times_better(row, peer[1]):.2f}")


def _other_lines(rows: Sequence[Row]) -> Iterable[Sequence[str]]:
    yield ["row", "ours", "unit", "compared with", "ours / that", "goal", "reached"]
    for row in rows:
        goal = goal_of(row)
        known = {name: value for name, value in row.peers.items() if value}
        yield [
            f"`{row.id}`",
            _figure(row.ours),
            row.unit,
            "; ".join(f"{name}: {_figure(value)}" for name, value in known.items()),
            "; ".join(f"{row.ours / value:.2f}" for value in known.values()),
            goal.text if goal else "",
            _reached(goal, row),
        ]


def _table(lines: Iterable[Sequence[str]]) -> str:
    head, *body = lines
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *body))


def _figure(value: float | None) -> str:
    return "-" if value is None else figure_text(value)


def _reached(goal: Goal | None, row: Row) -> str:
    return "" if goal is None else "yes" if goal.is_reached(row) else "no"
