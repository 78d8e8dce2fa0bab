"""Checks the messages of a task: what every chat model refuses is refused here, the rest is the model's to judge."""

from typing import Any

from taskfleet.core.errors import InvalidTask

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_ROLE_SET = frozenset(ROLES)


def check_messages(messages: Any) -> list[dict[str, Any]]:
    """``messages`` themselves when they are a conversation, else InvalidTask: ``messages[1].role: ...``."""
    if not isinstance(messages, list):
        raise InvalidTask('messages: not an array of objects such as {"role": "user", "content": "Hi"}')
    if not messages:
        raise InvalidTask("messages: it is empty; there must be at least one message")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            raise InvalidTask(f'messages[{index}]: not an object such as {{"role": "user", "content": "Hi"}}')
        _check(message, index)
    return messages


def _check(message: dict[str, Any], index: int) -> None:
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLE_SET:
        trouble = "it is missing" if "role" not in message else f"{role!r} is no role"
        raise InvalidTask(f"messages[{index}].role: {trouble}; use one of {', '.join(ROLES)}")
    content = message.get("content")
    if isinstance(content, str) or (isinstance(content, list) and content):
        return
    if content is None and role == "assistant" and (message.get("tool_calls") or message.get("function_call")):
        return
    trouble = "it is missing" if "content" not in message else "it must be a string or an array of parts"
    raise InvalidTask(f"messages[{index}].content: {trouble}")
