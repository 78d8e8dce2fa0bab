"""The course of a run is counted in slices, and drawn with as much room as its items need."""

from xml.etree import ElementTree

import pytest

from taskfleet.core.parallel.rules import ItemStatus
from taskfleet.core.wiretime import exact_wire_time
from taskfleet.parallel.course import SLICES, Course
from taskfleet.parallel.picture import HEIGHT, WIDTH, picture


def course(*lines: tuple[float, float, str], seconds: float = 100.0) -> Course:
    """Of items that began so many seconds after the run, took so long, and ended so."""
    found = Course(1000.0, seconds)
    for began, took, status in lines:
        found.add({"began": exact_wire_time(1000.0 + began), "seconds": took, "status": status})
    return found


def test_items_are_counted_where_they_began_and_where_they_ended() -> None:
    found = course((0, 50, "completed"), (50, 25, "failed"))
    found.add_open(1090.0)
    half, three = SLICES // 2, SLICES * 3 // 4
    assert (found.begun()[0], found.begun()[half], found.begun()[-1]) == (1, 2, 3)
    completed, failed = found.ended(ItemStatus.COMPLETED), found.ended(ItemStatus.FAILED)
    assert (completed[half - 1], completed[half], failed[three - 1], failed[three]) == (0, 1, 0, 1)


@pytest.mark.parametrize("total", [None, 2, 1_000_000])
@pytest.mark.parametrize("seconds", [0.0, 0.4, 61.0, 1e6])
def test_whatever_there_is_lies_within_the_picture(total: int | None, seconds: float) -> None:
    drawn = picture("a <name>", "& more", course((0, 1, "completed"), (0, 2, "cancelled"), seconds=seconds), total)
    root = ElementTree.fromstring(drawn)
    texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
    assert texts[0].text == "a <name>"
    for text in texts:
        assert 0 <= float(text.attrib["x"]) <= WIDTH
        assert 0 <= float(text.attrib["y"]) <= HEIGHT
    for area in root.iter("{http://www.w3.org/2000/svg}polygon"):
        places = [tuple(map(float, point.split(","))) for point in area.attrib["points"].split()]
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)


def test_an_empty_run_is_a_picture_too() -> None:
    assert "<polygon" not in picture("none", "", course(), 0)
