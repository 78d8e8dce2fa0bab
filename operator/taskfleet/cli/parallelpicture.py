"""The picture of a run that the store has."""

import time

import orjson

from taskfleet.cli.parallelsummary import in_words
from taskfleet.core.task import QueueKey
from taskfleet.parallel.course import Course
from taskfleet.parallel.openitem import OpenItem
from taskfleet.parallel.picture import picture
from taskfleet.parallel.place import Written
from taskfleet.parallel.record import Record
from taskfleet.store import Store


async def draw(store: Store, key: QueueKey, name: str, record: Record) -> str:
    """Its items over time, as SVG; of a run that goes on, until now."""
    course = Course(record.began, (record.finished or time.time()) - record.began)
    for entry in Written(await store.runs.entries(key, name)).items("").values():
        course.add_open(OpenItem.from_json("", 0, entry).began)
    async for block in store.runs.lines(key, name):
        for line in block:
            course.add(orjson.loads(line))
    return picture(name, in_words(name, record).removeprefix(f"{name}: "), course, record.total)
