"""Items that a model is asked for: its answer must be a JSON array, and it may correct it once."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from taskfleet.core.errors import InputError

Ask = Callable[[str], Awaitable[str]]
"""Has the model answer a prompt. Raises InputError when there is no answer."""

MAX_ASKED = 10_000
_FORM = (
    "Answer with a JSON array and nothing else: no explanation, no code fence. Each element is a string, a number or "
    'an object, one for each item found, such as ["first", "second"]. If there is none, answer [].'
)


async def asked_items(prompt: str, ask: Ask) -> list[Any]:
    """Raises InputError when the model's second answer is no list of items either."""
    first = await ask(f"{prompt}\n\n{_FORM}")
    try:
        return items_in(first)
    except ValueError as error:
        why = str(error)
    second = await ask(f"{prompt}\n\nYou answered:\n{first[:4000]}\n\nThat cannot be used: {why}. {_FORM}")
    try:
        return items_in(second)
    except ValueError as error:
        raise InputError(
            f"on: the model gave no list of items, and none when it was asked again ({error}): {second[:200]!r}"
        ) from None


def items_in(answer: str) -> list[Any]:
    """The items of an answer, which may stand in a code fence. ValueError says what is wrong."""
    text = answer.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text[3:-3].removeprefix("json").strip()
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg})") from None
    if not isinstance(found, list):
        raise ValueError("it is JSON, but no array")  # noqa: TRY004 - what a model wrote
    if len(found) > MAX_ASKED:
        raise ValueError(f"it has more than {MAX_ASKED} elements")
    for element in found:
        if isinstance(element, bool) or not isinstance(element, str | int | float | dict) or element in ("", {}):
            raise ValueError(f"its element {str(element)[:40]!r} is no text, number or object")
    return found
