"""What a model is told of items so that it can judge: bounded, however many there are. Pure."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from taskfleet.core.parallel.tally import Tally

MAX_DIGEST = 12_000  # characters, about 3,000 tokens
_OF_ITEM = 4_000
_OF_LINE = 300
_OF_VALUE = 120


def judgement(condition: str, known: str) -> str:
    """The question whether a condition holds."""
    return f"Judge whether this holds: {condition}\n\nWhat is known:\n{known}"


def of_item(item: Any, steps: Mapping[str, Mapping[str, Any]]) -> str:
    """One item and what its steps came to."""
    told = {name: {"ok": result["ok"], **_outcome(result, _OF_ITEM // 4)} for name, result in steps.items()}
    return cut(_json({"item": item, "steps": told}), _OF_ITEM)


def of_run(tally: Tally, total: int | None, taken: int, lines: Iterable[Mapping[str, Any]]) -> str:
    """Counts of all items, and the newest result lines: as many as there is room for."""
    counts = ", ".join(f"{count} {status.value}" for status, count in tally.items.items())
    of = "" if total is None else f" of {total}"
    head = [f"{tally.done}{of} items have ended ({counts}); {taken - tally.done} are on their way."]
    head += [f"{count} failed since: {cause}" for cause, count in tally.commonest(10)]
    told: deque[str] = deque()
    room = MAX_DIGEST - sum(map(len, head))
    left_out = 0
    for line in reversed(list(lines)):
        text = _line(line)
        room -= len(text) + 1
        if room < 0:
            left_out = tally.done - len(told)
            break
        told.appendleft(text)
    if left_out:
        told.appendleft(f"({left_out} earlier ones are only counted.)")
    return "\n".join((*head, *told))


def _line(line: Mapping[str, Any]) -> str:
    steps = {name: _outcome(result, _OF_VALUE) or result["ok"] for name, result in line["steps"].items()}
    told = {"item": _short(line["item"], _OF_VALUE), "status": line["status"], "steps": steps}
    return cut(_json(told), _OF_LINE)


def _outcome(result: Mapping[str, Any], most: int) -> dict[str, Any]:
    if result["skipped"]:
        return {"skipped": True}
    if result["error"]:
        return {"error": cut(result["error"], most)}
    return {"output": _short(result["output"], most)}


def _short(value: Any, most: int) -> Any:
    """The value, or the beginning of its JSON."""
    if isinstance(value, str):
        return cut(value, most)
    text = _json(value)
    return value if len(text) <= most else cut(text, most)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
