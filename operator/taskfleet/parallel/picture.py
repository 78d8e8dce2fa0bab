"""One picture of a run, as SVG: its items over time by state. Needs no library, and opens in every browser. Pure."""

from collections.abc import Iterator, Sequence
from html import escape

from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.quantities import format_duration
from taskfleet.parallel.course import SLICES, Course

WIDTH, HEIGHT = 960, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 150, 84, 48
_INK, _MUTED, _GRID = "#1f2933", "#6b7785", "#e4e7eb"
_COLOURS = {
    ItemStatus.COMPLETED.value: "#1b998b",
    ItemStatus.FAILED.value: "#d64545",
    ItemStatus.CANCELLED.value: "#9aa5b1",
    "open": "#2f6fde",
}
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)  # seconds
_LABEL_HEIGHT = 17.0


def picture(title: str, remark: str, course: Course, total: int | None) -> str:
    """``total``: how many items there are, where that is known; they are the height of it then."""
    layers = [layer for layer in _layers(course) if layer[1] != layer[2]]  # some states never were
    top = max(total or 0, course.begun()[-1], 1)
    body = [
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(_LEFT, 36, title, size=20, weight=600),
        _text(_LEFT, 60, remark, size=13, colour=_MUTED),
        *_grid(course.seconds, top),
        *(_area(lower, upper, top, _COLOURS[name]) for name, lower, upper in layers),
        *_labels(layers, top),
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="system-ui, DejaVu Sans, Helvetica, Arial, sans-serif">'
    )
    return "\n".join((head, *body, "</svg>", ""))


def _layers(course: Course) -> list[tuple[str, list[int], list[int]]]:
    """Name, lower and upper edge of each state, one upon the other."""
    found, below = [], [0] * (SLICES + 1)
    for status in (ItemStatus.COMPLETED, ItemStatus.FAILED, ItemStatus.CANCELLED):
        above = [low + count for low, count in zip(below, course.ended(status), strict=True)]
        found.append((status.value, below, above))
        below = above
    begun = [max(pair) for pair in zip(below, course.begun(), strict=True)]
    return [*found, ("open", below, begun)]


def _x(place: float) -> float:
    """``place``: 0 at the run's beginning, 1 at its end."""
    return _LEFT + place * (WIDTH - _LEFT - _RIGHT)


def _y(count: float, top: int) -> float:
    return HEIGHT - _BOTTOM - count / top * (HEIGHT - _TOP - _BOTTOM)


def _area(lower: Sequence[int], upper: Sequence[int], top: int, colour: str) -> str:
    there = [(_x(n / SLICES), _y(count, top)) for n, count in enumerate(upper)]
    back = [(_x(n / SLICES), _y(count, top)) for n, count in enumerate(lower)]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*there, *reversed(back)))
    return f'<polygon points="{points}" fill="{colour}" fill-opacity="0.85"/>'


def _grid(seconds: float, top: int) -> Iterator[str]:
    for count in _ticks(top):
        y = _y(count, top)
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_x(1):.1f}" y2="{y:.1f}" stroke="{_GRID}"/>'
        yield _text(_LEFT - 8, y + 4, f"{count:,}", size=12, colour=_MUTED, anchor="end")
    step = next((each for each in _STEPS if seconds / each <= 8), _STEPS[-1])
    if seconds < _STEPS[0]:
        step = seconds  # type: ignore[assignment]
    for number in range(int(seconds / step) + 1):
        at = number * step
        yield _text(_x(at / seconds), HEIGHT - 20, format_duration(at), size=12, colour=_MUTED, anchor="middle")


def _ticks(top: int) -> list[int]:
    power = 10 ** (len(str(top)) - 1)
    step = next(size * power // 10 or 1 for size in (1, 2, 5, 10, 20, 50) if top / (size * power / 10) <= 5)
    return [*range(0, top + 1, max(1, step))]


def _labels(layers: Sequence[tuple[str, list[int], list[int]]], top: int) -> Iterator[str]:
    """What each state came to at the end, beside it; those that are too close to each other are moved apart."""
    wanted = [
        (_y((lower[-1] + upper[-1]) / 2, top) + 4, f"{upper[-1] - lower[-1]:,} {name}", _COLOURS[name])
        for name, lower, upper in layers
    ]
    places = [place for place, *_ in wanted]
    for n in range(1, len(places)):
        places[n] = min(places[n], places[n - 1] - _LABEL_HEIGHT)
    for place, (_, words, colour) in zip(places, wanted, strict=True):
        yield _text(_x(1) + 10, place, words, size=14, colour=colour, weight=600)


def _text(
    x: float, y: float, words: str, *, size: int, colour: str = _INK, anchor: str = "start", weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" fill="{colour}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )
