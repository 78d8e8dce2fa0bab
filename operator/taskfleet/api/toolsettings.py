"""What the workers of an endpoint with ``provider: tools`` may do, set by whoever makes the pool, never by a task."""

from typing import Annotated

from pydantic import Field

from taskfleet.api.base import UNIQUE, ApiModel, Duration, Size
from taskfleet.api.rules import SUBDOMAIN, Rule, duration_between

_BYTE = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NETWORK = Rule(
    rf"self.matches('^({_BYTE}\\.){{3}}{_BYTE}/(3[0-2]|[12]?[0-9])$')"
    r" || self.matches('^([0-9a-f]{1,4}:){1,7}(:|[0-9a-f]{1,4})?/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$')"
    r" || self.matches('^::([0-9a-f]{1,4})?/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$')",
    "must be a network such as 10.1.0.0/16, 127.0.0.1/32 or fd00:1::/64",
)
_HOST_PATTERN = Rule(
    "self.matches('^([*][.])?[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",
    "must be a host in lower case such as example.com, or *.example.com for all under it",
)
_PATH = "self.matches('^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$')"
_FOLDER = Rule(
    f"{_PATH} && self != '/tmp'",
    "must be an absolute folder such as /data: letters, digits, '.', '_' and '-' between the slashes; not /tmp itself",
)
_PROGRAM = Rule(_PATH, "must be the path of a program such as /usr/bin/chromium")


def _size(most: str) -> Rule:
    return Rule(
        f"string(self).matches('^[1-9][0-9]{{0,10}}(Ki|Mi)?$')"
        f" && quantity(string(self)).compareTo(quantity('{most}')) <= 0",
        f"must be a size of at most {most}: a number of bytes, or a number with Ki or Mi, such as 1Mi",
    )


class NetworkSettings(ApiModel):
    """Where http and headless-browser may go; the rules hold for the address that is connected to, also after
    redirects."""

    allowed_hosts: Annotated[list[Annotated[str, Field(max_length=253), _HOST_PATTERN]], UNIQUE] = Field(
        default_factory=list,
        max_length=32,
        description="Only these hosts, such as example.com, or *.example.com for all under it; all when empty.",
    )
    allowed_networks: Annotated[list[Annotated[str, Field(max_length=43), _NETWORK]], UNIQUE] = Field(
        default_factory=list,
        max_length=16,
        description="Addresses that may be called although they are private, such as 10.1.0.0/16; none when empty. "
        "Addresses of this machine and of a cloud's metadata are private too.",
    )


class BrowserSettings(ApiModel):
    """The browser of headless-browser."""

    path: Annotated[str, _PROGRAM] | None = Field(
        None, max_length=512, description="Chromium's program; found on the PATH when not set."
    )


class TerminalSettings(ApiModel):
    """What one command of terminal may use."""

    memory: Annotated[Size, _size("65536Mi")] = Field(Size("256Mi"), description="Memory of all its processes.")
    cpu_time: Annotated[Duration, duration_between("1s", "1h", "30s")] = Field(
        Duration("30s"), description="CPU time of all its processes, a duration from 1s to 1h."
    )
    processes: int = Field(32, ge=1, le=1024, description="Processes and threads at once.")
    folder_size: Annotated[Size, _size("4096Mi")] = Field(
        Size("64Mi"), description="What it may write to its own /tmp, which is gone with it; also its largest file."
    )
    output_size: Annotated[Size, _size("8Mi")] = Field(
        Size("256Ki"), description="What it may print, to its output and to its errors; one that prints more is killed."
    )


class FileSettings(ApiModel):
    """The folder of file. In a cluster it is a volume at that path in the pods."""

    root: Annotated[str, _FOLDER] = Field(
        max_length=512, description="The folder under which all paths are, such as /data."
    )
    claim_name: Annotated[str, SUBDOMAIN] | None = Field(
        None,
        max_length=253,
        description="A PersistentVolumeClaim of the namespace, which all workers of the endpoint share; without one "
        "each pod has an empty folder that goes with it. On a laptop root is a folder that is there.",
    )
    read_only: bool = Field(False, description="Refuse to write and to delete.")
    max_file_size: Annotated[Size, _size("16Mi")] = Field(
        Size("1Mi"), description="Largest file to read or write: bytes, or a number with Ki or Mi."
    )


class ToolSettings(ApiModel):
    """Settings of the tools that an endpoint serves; tools that are not among its models are not affected."""

    network: NetworkSettings = Field(
        default_factory=NetworkSettings, description="Where http and headless-browser may go."
    )
    headless_browser: BrowserSettings = Field(default_factory=BrowserSettings, description="Of headless-browser.")
    terminal: TerminalSettings = Field(default_factory=TerminalSettings, description="Limits of terminal.")
    file: FileSettings | None = Field(None, description="The folder of file; needed to serve it.")
