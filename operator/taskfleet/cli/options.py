"""Options that several commands share, and what they make of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from taskfleet.cli.output import Output
from taskfleet.cli.settings import FORMS, SETTINGS, load_settings, seconds

F = TypeVar("F", bound=Callable[..., Any])


def output_option(command: F) -> F:
    """``-o human|json`` as the parameter ``output``, an Output."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMS),
        callback=lambda _ctx, _param, value: Output(as_json=load_settings().find("output", value).value == "json"),
        help="Form of the output: for people, or stable for scripts.",
    )(command)


def seconds_option(setting: str, help_text: str) -> Callable[[F], F]:
    """A time in seconds as the parameter ``setting``, which may be set elsewhere too."""

    def read(ctx: click.Context, param: click.Parameter, text: str | None) -> float:
        try:
            given = None if text is None else seconds(text)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
        value: float = load_settings().find(setting, given).value
        return value

    return click.option(SETTINGS[setting].option, metavar="DURATION", callback=read, help=help_text)


def kubeconfig_option(command: F) -> F:
    """``--kubeconfig`` as the parameter ``kubeconfig``."""
    return click.option("--kubeconfig", metavar="FILE", help="How to reach the API server.")(command)


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
    return folder_option("--data", "--data-folder")(namespace_option(command))


def namespace_option(command: F) -> F:
    """``--namespace``; ``find_target`` knows where else it may be set."""
    return click.option(
        "-n",
        "--namespace",
        metavar="NS",
        help='Namespace of the queue (default: that of the running `up`, else "default").',
    )(command)


def folder_option(*names: str) -> Callable[[F], F]:
    """The data folder as the parameter ``data``; ``find_target`` knows where else it may be set."""
    return click.option(
        *names,
        "data",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Data folder of a running `taskfleet up` (default: the store of TASKFLEET_STORE_URL, else .taskfleet/).",
    )


def queue_option(command: F) -> F:
    """``--queue`` for commands that name tasks and not queues, as the parameter ``queue``."""
    return click.option(
        "-q",
        "--queue",
        metavar="QUEUE",
        callback=_configured_queue,
        help="Queue to look in (default: every queue of the running `up`).",
    )(command)


def this_queue_option(command: F) -> F:
    """``--queue`` for commands that are about one queue, as the parameter ``queue``."""
    return click.option(
        "-q",
        "--queue",
        metavar="QUEUE",
        callback=_needed_queue,
        help="The queue that is meant, NAME or NAMESPACE/NAME.",
    )(command)


def _configured_queue(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    found: str | None = load_settings().find("queue", value).value
    return found


def _needed_queue(ctx: click.Context, param: click.Parameter, value: str | None) -> str:
    queue = _configured_queue(ctx, param, value)
    if queue is None:
        raise click.UsageError("say which queue: --queue NAME, or set queue in taskfleet.yaml", ctx)
    return queue


def batch_option(help_text: str) -> Callable[[F], F]:
    """``--batch`` in place of task ids."""
    return click.option("--batch", metavar="BATCH", help=help_text)


def one_of(ids: tuple[str, ...], batch: str | None) -> None:
    """Refuse both or neither of ids and ``--batch``."""
    if bool(ids) == bool(batch):
        raise click.UsageError("give task ids or --batch, one of the two")
