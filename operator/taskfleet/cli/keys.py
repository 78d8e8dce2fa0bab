"""``taskfleet keys``: API keys of a gateway, in the file that it reads."""

import secrets
from pathlib import Path
from typing import Any

import click
import yaml

from taskfleet.api.gatewaykeys import ApiKey, ApiKeys, Right
from taskfleet.cli.options import output_option
from taskfleet.cli.output import Output
from taskfleet.core.errors import InputError, NotFound
from taskfleet.core.task import DEFAULT_TENANT, Priority
from taskfleet.gateway.keyring import hash_of, read_keys

_FILE = click.option(
    "-f", "--file", type=click.Path(path_type=Path), default=Path("keys.yaml"), show_default=True, help="The file."
)
EPILOG = """
\b
The file has only hashes of the keys: a key is shown once, when it is created. A running gateway reads the file again
when it changes. In a cluster it is a Secret:
  kubectl create secret generic taskfleet-keys --from-file keys.yaml

\b
Examples:
  taskfleet keys create team-a --tenant team-a
  taskfleet keys create ci --right submit --right read --queue default/demo --max-priority normal
  taskfleet keys create trial --requests-per-minute 60
  taskfleet keys revoke ci
"""


@click.group(epilog=EPILOG)
def keys() -> None:
    """Create, list and revoke API keys of a gateway."""


@keys.command()
@click.argument("name")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, help="Whose tasks are submitted with it.")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice([right.value for right in Right]),
    help="What it may do; may be given several times (default: submit and read).",
)
@click.option("--queue", "queues", multiple=True, metavar="NS/NAME", help="Queues that it may use (default: all).")
@click.option(
    "--max-priority",
    type=click.Choice([priority.label for priority in Priority]),
    default=Priority.CRITICAL.label,
    show_default=True,
    help="No task of it has a higher one.",
)
@click.option(
    "--requests-per-minute", type=click.IntRange(1), metavar="N", help="Calls in any minute (default: no limit)."
)
@_FILE
@output_option
def create(name: str, file: Path, output: Output, **fields: Any) -> int:
    """Make a key NAME and show it, this once."""
    there = _read(file) if file.exists() else []
    if any(key.name == name for key in there):
        raise InputError(f"NAME: there is a key {name!r} in {file} already; revoke it, or choose another name")
    secret = f"tf-{secrets.token_urlsafe(32)}"
    given = {"tenant": fields["tenant"], "queues": list(fields["queues"]), "maxPriority": fields["max_priority"]}
    given |= {"rights": list(fields["rights"])} if fields["rights"] else {}
    most = fields["requests_per_minute"]
    given |= {} if most is None else {"requestsPerMinute": most}
    _write(file, [*(key.to_wire() for key in there), {"name": name, "sha256": hash_of(secret), **given}])
    output.result({"name": name, "key": secret, "file": str(file)}, secret)
    output.remark(f"in {file} as {name}; only its hash is there: keep the key, it is not shown again")
    return 0


@keys.command("list")
@_FILE
@output_option
def list_keys(file: Path, output: Output) -> int:
    """Show whose keys there are and what they may do."""
    there = _read(file)
    output.result({"keys": [key.to_wire() for key in there]}, *map(_line, there))
    return 0


@keys.command()
@click.argument("name")
@_FILE
@output_option
def revoke(name: str, file: Path, output: Output) -> int:
    """Take the key NAME away."""
    there = _read(file)
    kept = [key.to_wire() for key in there if key.name != name]
    if len(kept) == len(there):
        raise NotFound(f"there is no key {name!r} in {file}")
    _write(file, kept)
    output.result({"name": name, "file": str(file)}, f"revoked {name}")
    return 0


def _line(key: ApiKey) -> str:
    most = "" if key.requests_per_minute is None else f"\t{key.requests_per_minute} requests a minute"
    queues = ",".join(key.queues) or "all queues"
    return f"{key.name}\t{key.tenant}\t{','.join(key.rights)}\t{queues}\t{key.max_priority}{most}"


def _read(file: Path) -> list[ApiKey]:
    return read_keys(file).keys


def _write(file: Path, entries: list[dict[str, Any]]) -> None:
    """Replace the file at once. Raises InputError when what was given is no key, or it cannot be written."""
    try:
        ApiKeys.model_validate({"keys": entries})
    except ValueError as error:
        raise InputError(f"keys: {error}") from None
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        fresh.touch(mode=0o600)
        fresh.write_text(yaml.safe_dump({"keys": entries}, sort_keys=False))
        fresh.replace(file)
    except OSError as error:
        raise InputError(f"keys: {file} cannot be written: {error.strerror}") from error
