"""Completions that come in pieces, in the form in which OpenAI streams them: choices that grow by deltas. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

Delta = Mapping[str, Any]
Said = Callable[[int, Delta, str | None], None]
"""Hears of each piece as it comes: number of its choice, delta, finish reason."""


def say_all(said: Said, output: Any) -> None:
    """Tell a result that came in one piece."""
    choices = output.get("choices") if isinstance(output, Mapping) else None
    for index, choice in enumerate(choices or [{"message": output}]):
        message = choice["message"]
        delta = message if isinstance(message, Mapping) else {"content": message}
        said(index, delta, choice.get("finish_reason") or ("tool_calls" if delta.get("tool_calls") else "stop"))


# Texts of which each delta has the next part; of everything else it has the whole.
_PARTS = frozenset({"content", "reasoning_content", "reasoning", "refusal", "arguments"})
_SAYS_SOMETHING = ("content", "tool_calls", "reasoning_content", "refusal")


class _Text(list[str]):
    """Parts of a text, joined once."""


class Deltas:
    """What was said since it began to listen; ``size`` is about how many characters that is."""

    def __init__(self) -> None:
        self.size = 0
        self._grown: dict[int, dict[str, Any]] = {}
        self._reasons: dict[int, str | None] = {}

    def add(self, index: int, delta: Delta, finish_reason: str | None = None) -> None:
        self._reasons[index] = finish_reason or self._reasons.get(index)
        self.size += _grow(self._grown.setdefault(index, {}), delta)

    def __bool__(self) -> bool:
        return bool(self._reasons)

    def copy(self) -> "Deltas":
        """The same, which may grow on by itself."""
        other = Deltas()
        for choice in self.as_deltas():
            other.add(choice["index"], choice["delta"], choice["finish_reason"])
        return other

    def as_deltas(self) -> list[dict[str, Any]]:
        """One delta for each choice, for readers of a stream."""
        return [
            {"index": index, "delta": _plain(grown, numbered=True), "finish_reason": self._reasons[index]}
            for index, grown in self._grown.items()
        ]

    def as_choices(self) -> list[dict[str, Any]]:
        """The choices of a completion that was not streamed."""
        return [
            {"index": index, "message": _message(self._grown[index]), "finish_reason": self._reasons[index]}
            for index in sorted(self._grown)
        ]


def _grow(into: dict[str, Any], delta: Delta) -> int:
    """Adds a delta; the characters that are new."""
    size = 0
    for name, value in delta.items():
        before = into.get(name)
        if name in _PARTS and isinstance(value, str):
            if not isinstance(before, _Text):
                into[name] = before = _Text()
            before.append(value)
            size += len(value)
        elif name == "tool_calls" and isinstance(value, list):
            calls = into.setdefault(name, {}) if before is None else before
            for number, call in enumerate(value):
                if isinstance(call, Mapping):
                    place = call.get("index", number)
                    size += _grow(calls.setdefault(place, {}), {k: v for k, v in call.items() if k != "index"})
        elif isinstance(value, Mapping):
            if not isinstance(before, dict):
                into[name] = before = {}
            size += _grow(before, value)
        elif value is not None or name not in into:
            into[name] = value
    return size


def _plain(grown: Any, *, numbered: bool) -> Any:
    if isinstance(grown, _Text):
        return "".join(grown)
    if not isinstance(grown, dict):
        return grown
    plain = {name: _plain(value, numbered=numbered) for name, value in grown.items() if name != "tool_calls"}
    if "tool_calls" in grown:
        calls = grown["tool_calls"] or {}
        plain["tool_calls"] = [
            ({"index": place} if numbered else {}) | _plain(calls[place], numbered=numbered) for place in sorted(calls)
        ]
    return plain


def _message(grown: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = _plain(grown, numbered=False)
    if not any(name in message for name in _SAYS_SOMETHING):
        message["content"] = ""  # it ended before it said anything, which an answer in one piece says so
    return message
