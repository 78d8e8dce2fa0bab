"""The calls of OpenAI's protocol that a task may be.

A task that names one is that request: its ``parameters`` go to the server as they are, and its output is the server's
whole answer. One that names none asks a question, and its output is what was said.
"""

from enum import StrEnum


class Operation(StrEnum):
    """The value is the path below ``/v1`` with dots."""

    CHAT = "chat.completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"

    @property
    def path(self) -> str:
        return "/" + self.value.replace(".", "/")
