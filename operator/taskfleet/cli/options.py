"""Options that several commands share, and what they make of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from taskfleet.cli.output import Output

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_DATA_FOLDER = Path(".taskfleet")


def output_option(command: F) -> F:
    """``-o human|json`` as the parameter ``output``, an Output."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["human", "json"]),
        default="human",
        callback=lambda _ctx, _param, value: Output(as_json=value == "json"),
        help="Form of the output: for people, or stable for scripts.",
    )(command)


def manifests_option(help_text: str) -> Callable[[F], F]:
    """``-f``, as kubectl has it, as the parameter ``manifests``: one or more paths."""
    return click.option(
        "-f",
        "--filename",
        "manifests",
        type=click.Path(path_type=Path),
        multiple=True,
        required=True,
        metavar="FILE|DIR",
        help=help_text,
    )


def target_options(command: F) -> F:
    """``--data`` and ``--namespace`` as the parameters ``data`` and ``namespace``: which store, which namespace."""
    command = click.option(
        "-n",
        "--namespace",
        metavar="NS",
        help='Namespace of the queue (default: that of the running `up`, else "default").',
    )(command)
    return click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Data folder of a running `taskfleet up` (default: the store of TASKFLEET_STORE_URL, else .taskfleet/).",
    )(command)


def queue_option(command: F) -> F:
    """``--queue`` for commands that name tasks and not queues."""
    return click.option(
        "-q", "--queue", metavar="QUEUE", help="Queue to look in (default: every queue of the running `up`)."
    )(command)


def batch_option(help_text: str) -> Callable[[F], F]:
    """``--batch`` in place of task ids."""
    return click.option("--batch", metavar="BATCH", help=help_text)


def one_of(ids: tuple[str, ...], batch: str | None) -> None:
    """Refuse both or neither of ids and ``--batch``."""
    if bool(ids) == bool(batch):
        raise click.UsageError("give task ids or --batch, one of the two")
