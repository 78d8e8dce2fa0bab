"""What the tools that come with Taskfleet are asked: one model of arguments for each, which is its JSON schema too.

A task calls a tool with ``{"tool": NAME, "arguments": {...}}``; its lane is the tool's name. Sizes are in bytes, times
in seconds.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from taskfleet.core.errors import InvalidTask

MAX_TIMEOUT = 600.0
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_IN_A_HEADER = re.compile(r"[\r\n\0]")
# They frame the request, or belong to the connection: the tool sets them.
_OWN_HEADERS = frozenset(("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer"))


class ToolArguments(BaseModel):
    """Base of the arguments of every tool, also of those in other packages. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


A = TypeVar("A", bound=ToolArguments)


def _web_address(url: str) -> str:
    if _NOT_IN_A_URL.search(url):
        raise ValueError("it has spaces or control characters; write them as %20 and so on")
    parts = urlsplit(url)
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError("it must begin with http:// or https:// and have a host, such as https://example.com/")
    if parts.username is not None or parts.password is not None:
        raise ValueError("it must not contain a user or password; give a header Authorization")
    if parts.port == 0:
        raise ValueError("its port must be from 1 to 65535")
    return url


def _headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if name.lower() in _OWN_HEADERS:
            raise ValueError(f"{name} is set by the tool; remove it")
        if _NOT_IN_A_HEADER.search(value):
            raise ValueError(f"there is a line break in the value of {name}")
    return headers


WebAddress = Annotated[str, Field(max_length=8192), AfterValidator(_web_address)]
Headers = Annotated[dict[str, str], Field(max_length=64), AfterValidator(_headers)]
Timeout = Annotated[float, Field(gt=0, le=MAX_TIMEOUT)]
OnFailure = Literal["report", "retry"]
_ON_FAILURE = "No answer: report it as the result (ok is false), or retry as the queue says and fail in the end."


class HttpArguments(ToolArguments):
    """One HTTP request, with its redirects."""

    url: WebAddress = Field(description="Where to send it: http:// or https://.")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: Headers = Field(default_factory=dict, description="Headers of the request, by name.")
    body: str | None = Field(None, max_length=2**20, description="Text that is sent with it, as UTF-8.")
    max_redirects: int = Field(10, ge=0, le=20, description="Redirects to follow; 0: the first answer is the result.")
    max_body_bytes: int = Field(65536, ge=0, le=2**20, description="Most of the answer's body in the result.")
    timeout: Timeout = Field(30.0, description="Seconds for all of it.")
    on_failure: OnFailure = Field("report", description=_ON_FAILURE)


class BrowserArguments(ToolArguments):
    """One page, opened as a person would."""

    url: WebAddress = Field(description="The page: http:// or https://.")
    screenshot: bool = Field(False, description="Add a picture of what is seen first, as JPEG.")
    max_text_chars: int = Field(65536, ge=0, le=2**20, description="Most of the page's text in the result.")
    max_links: int = Field(500, ge=0, le=10_000, description="Most links in the result.")
    timeout: Timeout = Field(30.0, description="Seconds until the page must have loaded.")
    on_failure: OnFailure = Field("report", description=_ON_FAILURE)


class TerminalArguments(ToolArguments):
    """One command in a sandbox: no network, nothing to write to but an empty /tmp."""

    command: Annotated[str, Field(min_length=1, max_length=65536)] | Annotated[list[str], Field(min_length=1)] = Field(
        description="A line for /bin/sh, or a program and its arguments."
    )
    stdin: str = Field("", max_length=2**20, description="What it reads.")
    timeout: Timeout = Field(30.0, description="Seconds after which it is killed.")

    @model_validator(mode="after")
    def _no_null(self) -> Self:
        if any("\0" in word for word in self.command):
            raise ValueError("command must not have a null character")
        return self


class FileArguments(ToolArguments):
    """One file or folder under the tool's root."""

    action: Literal["read", "write", "list", "delete"]
    path: str = Field(max_length=4096, description="Under the root, such as reports/today.md; . is the root itself.")
    text: str | None = Field(None, description="What to write, as UTF-8.")
    base64: str | None = Field(None, description="What to write, where it is not text.")

    @model_validator(mode="after")
    def _content(self) -> Self:
        given = (self.text is not None) + (self.base64 is not None)
        if given != (self.action == "write"):
            raise ValueError("write needs text or base64, one of the two; the other actions have neither")
        return self


ARGUMENTS: Mapping[str, type[ToolArguments]] = {
    "http": HttpArguments,
    "web": HttpArguments,
    "headless-browser": BrowserArguments,
    "terminal": TerminalArguments,
    "file": FileArguments,
}
"""By the tool's name; ``web`` is another name for ``http``."""


def parse_arguments(model: type[A], arguments: Mapping[str, Any]) -> A:
    """The arguments as a tool reads them. Raises InvalidTask: ``arguments.url: ...``."""
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, ('arguments', *item['loc'])))}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_context=False)
        )
        raise InvalidTask(f"{problems} (it takes {', '.join(model.model_fields)})") from None


def problems_of(tool: str | None, arguments: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is wrong with arguments in which templates may stand, as far as it is known before those are filled in: the
    argument, and in words what is wrong. Nothing is known of tools that others add."""
    model = ARGUMENTS.get(tool or "")
    if model is None:
        return
    filled_in_later = {name for name, value in arguments.items() if "{{" in str(value) or "{%" in str(value)}
    try:
        model.model_validate(arguments)
    except ValidationError as error:
        for found in error.errors(include_url=False, include_context=False):
            name = next((str(step) for step in found["loc"]), "")
            if name in filled_in_later or (not name and filled_in_later):
                continue
            match found["type"]:
                case "missing":
                    yield (), f"{name} is missing; {tool} takes {', '.join(model.model_fields)}"
                case "extra_forbidden":
                    yield (name,), f"{tool} has no such argument; it takes {', '.join(model.model_fields)}"
                case _:
                    yield (name,) if name else (), found["msg"].removeprefix("Value error, ")
