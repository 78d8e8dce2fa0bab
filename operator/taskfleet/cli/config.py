"""``taskfleet config``: each setting, and where it comes from."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import click

from taskfleet.cli.options import output_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.settings import SETTINGS, Found, counts_before, load_settings
from taskfleet.core.errors import InputError
from taskfleet.core.quantities import format_duration
from taskfleet.store.address import parse

HIDDEN = "***"
EPILOG = """
\b
A setting is looked for in this order; the first that has it decides:
  1. the option of a command
  2. the environment: TASKFLEET_DATA, TASKFLEET_QUEUE ... (`taskfleet config -o json` names them)
  3. taskfleet.yaml in the working folder, or the nearest one above it
  4. taskfleet.yaml in ~/.config/taskfleet/
  5. the default

\b
A taskfleet.yaml has some of these lines:
  storeUrl: valkey://localhost:6379    # a store elsewhere, in place of a data folder
  data: .taskfleet                     # the data folder of `taskfleet up`, from the folder of this file
  namespace: default
  queue: demo                          # for the commands with --queue
  output: human                        # or json
  poll: 10s                            # of `taskfleet run --watch`
  lease: 30m                           # of `taskfleet run`

\b
Of storeUrl and data the one that is set nearer to the command line counts, and storeUrl of two in one place.

\b
Examples:
  taskfleet config
  taskfleet config -o json
"""


@click.command(epilog=EPILOG)
@click.option("-q", "--queue", metavar="QUEUE", help="As for other commands.")
@target_options
@output_option
@click.pass_context
def config(context: click.Context, queue: str | None, data: Path | None, namespace: str | None, output: Output) -> int:
    """Show each setting and where it comes from. Passwords are not shown."""
    settings = load_settings()
    was_given = context.get_parameter_source("output") is click.core.ParameterSource.COMMANDLINE
    form = ("json" if output.as_json else "human") if was_given else None
    given = {"queue": queue, "data": data, "namespace": namespace, "output": form}
    found = {name: settings.find(name, given.get(name)) for name in SETTINGS}
    used = "storeUrl" if counts_before(found["storeUrl"], found["data"]) else "data"
    if output.as_json:
        fields = {name: _fields(name, each) for name, each in found.items()}
        files = [str(path) for path in settings.files]
        output.json_line({"settings": fields, "files": files, "store": used})
        return 0
    rows = [(name, _shown(name, each), each.source) for name, each in found.items()]
    output.table("settings", ("setting", "value", "from"), rows)
    output.remark(f"commands find their store by {used}")
    return 0


def _fields(name: str, found: Found) -> dict[str, Any]:
    value = masked(found.value) if name == "storeUrl" and found.value else found.value
    return {
        "value": str(value) if isinstance(value, Path) else value,
        "from": found.source,
        "origin": found.origin.name.lower(),
        "variable": SETTINGS[name].variable,
    }


def _shown(name: str, found: Found) -> str:
    if found.value is None:
        return f"({SETTINGS[name].unset})"
    if name == "storeUrl":
        return masked(found.value)
    return format_duration(found.value) if isinstance(found.value, float) else str(found.value)


def masked(url: str) -> str:
    """A store's URL without its secrets: the password, a login that is only one word, the values after ``?``. What is
    not quite a URL of a store is not shown at all: who knows where its password is."""
    try:
        parse(url)
    except InputError:
        return HIDDEN
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment:
        return HIDDEN
    login, at, hosts = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:{HIDDEN}@" if colon else f"{HIDDEN}@" if at else ""
    options = urlencode({name: HIDDEN for name, _ in parse_qsl(parts.query, keep_blank_values=True)}, safe="*")
    return f"{parts.scheme}://{shown}{hosts}{parts.path}" + (f"?{options}" if options else "")
