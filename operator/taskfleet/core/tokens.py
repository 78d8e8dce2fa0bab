"""How many tokens a call will use, estimated before it is made, and how many it used. Pure.

No tokenizer: every model has its own. What the estimate gets wrong is corrected when the server has counted.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, RateLimited

# Of UTF-8 text. English has about 4 bytes to a token; other scripts have more bytes to a letter and fewer letters to a
# token, so that it holds for them too, near enough.
BYTES_PER_TOKEN = 4
# A picture costs by its size in pixels, not by its bytes; servers count from about 85 to 1,600.
TOKENS_PER_PICTURE = 1000
# What an answer has when nothing says how long it may be and no answer has been seen.
ANSWER_TOKENS = 256

_ASKED_BESIDE = ("tools", "functions", "response_format", "prompt", "input")
_MOST_ANSWER = ("max_completion_tokens", "max_tokens", "num_predict")


def estimate_tokens(
    messages: Sequence[Mapping[str, Any]], parameters: Mapping[str, Any], usual_answer: float = ANSWER_TOKENS
) -> int:
    """Tokens of input and output together, at least 1. ``usual_answer``: those of an answer that has no maximum."""
    asked = _weight(messages) + _weight({name: parameters[name] for name in _ASKED_BESIDE if name in parameters})
    answer = _most_answer(parameters)
    answers = _count(parameters.get("n")) or 1
    return max(1, ceil(asked + (usual_answer if answer is None else answer) * answers))


def tokens_used(outcome: Outcome | None) -> int | None:
    """What a call used; None when nobody knows, as when it was cut off or the server does not count."""
    match outcome:
        case Ok(usage=usage):
            return usage.input_tokens + usage.output_tokens or None
        case Fatal() | RateLimited() | EndpointDown(reached=False):
            return 0
    return None


def _most_answer(parameters: Mapping[str, Any]) -> int | None:
    options = parameters.get("options")  # where Ollama has it
    sources = (parameters, options if isinstance(options, Mapping) else {})
    found = (_count(source.get(name)) for source in sources for name in _MOST_ANSWER)
    return next((number for number in found if number is not None), None)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _weight(value: Any) -> float:
    """Tokens of all texts in it, and of the keys: in a message these weigh as much as the marks around it do in the
    formats that models know. A picture counts as one, however long its data."""
    match value:
        case str():
            return len(value.encode(errors="replace")) / BYTES_PER_TOKEN
        case {"type": "image_url" | "image" | "input_image"}:
            return TOKENS_PER_PICTURE
        case Mapping():
            return sum(_weight(key) + _weight(item) for key, item in value.items())
        case list() | tuple():
            return sum(map(_weight, value))
        case int() | float():
            return 1
    return 0
