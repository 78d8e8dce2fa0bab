"""Completions that come in pieces, in the form in which OpenAI streams them: choices that grow by deltas. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

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
_PARTS = frozenset({"content", "reasoning_content", "reasoning", "refusal", "arguments", "data", "transcript"})
EVENTS = "events"
"""Of a response, whose stream is no choices: a delta has some of its own events, as they are."""
_SAYS_SOMETHING = ("content", "tool_calls", "reasoning_content", "refusal")


class _Text(list[str]):
    """Parts of a text, joined once."""


class _Object(dict[str, Any]):
    """A JSON object."""


class _Calls(dict[int, _Object]):
    """Tool calls by their index."""


class _Events(list[Any]):
    """Events of a response, in their order."""


class Deltas:
    """What was said since it began to listen; ``size`` is about how many characters that is."""

    def __init__(self) -> None:
        self.size = 0
        self._grown: dict[int, _Object] = {}
        self._reasons: dict[int, str | None] = {}

    def add(self, index: int, delta: Delta, finish_reason: str | None = None) -> None:
        self._reasons[index] = finish_reason or self._reasons.get(index)
        self.size += _grow(self._grown.setdefault(index, _Object()), delta)

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
        if name in _PARTS and isinstance(value, str):
            _inside(into, name, _Text).append(value)
            size += len(value)
        elif name == "tool_calls" and isinstance(value, list):
            size += _grow_calls(_inside(into, name, _Calls), value)
        elif name == EVENTS and isinstance(value, list):
            _inside(into, name, _Events).extend(value)
            size += sum(len(str(event)) for event in value)
        elif isinstance(value, Mapping):
            size += _grow(_inside(into, name, _Object), value)
        elif value is not None or name not in into:
            into[name] = value
    return size


def _grow_calls(calls: _Calls, deltas: list[Any]) -> int:
    size = 0
    for number, delta in enumerate(deltas):
        if isinstance(delta, Mapping):
            place = delta.get("index")
            size += _grow(calls.setdefault(place if isinstance(place, int) else number, _Object()), delta)
    return size


def _inside(into: dict[str, Any], name: str, kind: type[T]) -> T:
    """What grows under this name; what is there already of another kind is overwritten."""
    found = into.get(name)
    if not isinstance(found, kind):
        found = into[name] = kind()
    return found


def _plain(grown: Any, *, numbered: bool) -> Any:
    if isinstance(grown, _Text):
        return "".join(grown)
    if isinstance(grown, _Events):
        return list(grown)
    if isinstance(grown, _Calls):
        calls = ({**_plain(grown[place], numbered=numbered), "index": place} for place in sorted(grown))
        return [call if numbered else {k: v for k, v in call.items() if k != "index"} for call in calls]
    if isinstance(grown, _Object):
        return {name: _plain(value, numbered=numbered) for name, value in grown.items()}
    return grown


def _message(grown: _Object) -> dict[str, Any]:
    message: dict[str, Any] = _plain(grown, numbered=False)
    if not any(name in message for name in _SAYS_SOMETHING):
        message["content"] = ""  # it ended before it said anything, which an answer in one piece says so
    return message
