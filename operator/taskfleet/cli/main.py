"""The ``taskfleet`` command: one file per subcommand, loaded only when it is used.

Errors are handled here, once, for all of them: a sentence on stderr (an object with ``-o json``) and an exit code.
"""

import asyncio
import gc
import importlib
import importlib.metadata
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from taskfleet.cli import exits
from taskfleet.cli.settings import load_settings
from taskfleet.core.errors import InputError, InvalidManifest, TaskfleetError


@dataclass(frozen=True, slots=True)
class _Subcommand:
    """A function ``name`` in ``taskfleet.cli.name``, dashes as underscores. ``extra``: the part of the package that
    its imports need."""

    summary: str
    extra: str = ""


SUBCOMMANDS = {
    "up": _Subcommand("Run the queues and worker pools of manifests on this machine.", extra="local"),
    "submit": _Subcommand("Put one task, or a file of tasks, into a queue."),
    "status": _Subcommand("Show where a task or a batch is."),
    "result": _Subcommand("Print or save the results of tasks or of a batch."),
    "cancel": _Subcommand("Cancel tasks or a whole batch."),
    "stats": _Subcommand("Show a queue in numbers."),
    "dlq": _Subcommand("List, inspect, redrive or purge failed tasks (dead letters)."),
    "pause": _Subcommand("Start no more tasks of a queue, until a time or until it is resumed."),
    "resume": _Subcommand("Start tasks of a paused queue again."),
    "parallel": _Subcommand("Run steps over many items at once, described in a file.", extra="parallel"),
    "run": _Subcommand("Claim tasks and print them, for a person or an agent to execute."),
    "progress": _Subcommand("Tell how far a claimed task is."),
    "complete": _Subcommand("End a claimed task with its result."),
    "fail": _Subcommand("End a claimed task with an error, or hand it back to be tried again."),
    "explain": _Subcommand("Say why a queue, pool, endpoint or task stands as it does, or what a model's name means."),
    "config": _Subcommand("Show each setting and where it comes from."),
    "validate": _Subcommand("Check manifests without a cluster.", extra="local"),
    "worker": _Subcommand("Run one worker (what the worker pods run).", extra="worker"),
    "gateway": _Subcommand("Serve OpenAI's API, tasks and batches over HTTP.", extra="gateway"),
    "keys": _Subcommand("Create, list and revoke API keys of a gateway.", extra="gateway"),
    "controller": _Subcommand("Run the Kubernetes controller.", extra="controller"),
    "metrics-api": _Subcommand("Tell HorizontalPodAutoscalers how many workers pools need.", extra="controller"),
}


class _LazyGroup(click.Group):
    """Lists all subcommands without importing any, so that ``taskfleet --help`` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        return _load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in SUBCOMMANDS.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Examples"):
            formatter.write_dl(
                [
                    ("taskfleet up -f manifests/", "run what the manifests say, here"),
                    ("taskfleet submit demo 'Say hello' --wait", "one task, and its answer"),
                    ("taskfleet submit demo -f tasks.jsonl", "many tasks as one batch"),
                    ("taskfleet result --batch ID --out results.jsonl", "their results, in input order"),
                ]
            )
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exits.MEANINGS.items()])
        with formatter.section("Environment"):
            formatter.write_dl(
                [
                    ("TASKFLEET_STORE_URL", "a store elsewhere, such as valkeys://user:password@host:6379/0"),
                    ("TASKFLEET_STORE_CA", "the authority that signed the certificate of such a store, in PEM"),
                    ("TASKFLEET_...", "other settings, also in taskfleet.yaml: see `taskfleet config --help`"),
                    ("NO_COLOR", "no colours, whatever its value"),
                ]
            )


@contextmanager
def _no_garbage_sought() -> Iterator[None]:
    """While modules are loaded there is none, and to look for it takes a tenth of a start."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _load(name: str) -> click.Command:
    try:
        function = name.replace("-", "_")
        with _no_garbage_sought():
            command: Any = getattr(importlib.import_module(f"taskfleet.cli.{function}"), function)
    except ModuleNotFoundError as error:
        extra, missing = SUBCOMMANDS[name].extra, (error.name or "").partition(".")[0]
        if not extra or missing == "taskfleet":
            raise
        raise click.ClickException(
            f"taskfleet {name} needs: pip install 'taskfleet[{extra}]' ({missing} is not installed)"
        ) from error
    assert isinstance(command, click.Command)
    return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(importlib.metadata.version("taskfleet"), prog_name="taskfleet")
def taskfleet() -> None:
    """Run LLM tasks through a durable queue and worker pools, on this machine or on Kubernetes.

    Every command takes -o json for scripts. `taskfleet COMMAND --help` says more.
    """


def main() -> None:
    """Entry point of the ``taskfleet`` script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. Whatever goes wrong is printed as one sentence."""
    try:
        _check_text(arguments)
        # Not click's own main(): it would end the process when the reader of the output has gone.
        with taskfleet.make_context("taskfleet", list(arguments)) as context:
            code = taskfleet.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as asked:
        return asked.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return exits.BAD_INPUT
    except InvalidManifest as error:  # its lines begin with file:line, which editors and terminals know to open
        return _complain(arguments, error.code, str(error), error.exit_code, prefix="")
    except TaskfleetError as error:
        return _complain(arguments, error.code, str(error), error.exit_code)
    except click.UsageError as error:
        return _complain(arguments, "usage", _with_hint(error), exits.BAD_INPUT)
    except click.ClickException as error:
        return _complain(arguments, "usage", error.format_message(), exits.BAD_INPUT)
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BROKEN_PIPE
    except Exception:  # a bug: here the traceback is what helps
        traceback.print_exc()
        return exits.BUG
    return code if isinstance(code, int) else exits.OK


def _check_text(arguments: Sequence[str]) -> None:
    """Names and texts are UTF-8; only files may be called otherwise."""
    for before, argument in zip(("", *arguments), arguments, strict=False):
        told = os.fsencode(argument).decode(errors="replace")
        if os.fsdecode(told) != argument and not os.path.lexists(argument):
            what = before if before.startswith("-") else "argument"
            raise InputError(f"{what} {told!r} is not UTF-8; write names and texts in UTF-8")


def _with_hint(error: click.UsageError) -> str:
    where = error.ctx.command_path if error.ctx is not None else "taskfleet"
    return f"{error.format_message()} (see {where} --help)"


def _complain(arguments: Sequence[str], code: str, message: str, exit_code: int, prefix: str = "taskfleet: ") -> int:
    if _wants_json(arguments):
        click.echo(json.dumps({"error": {"code": code, "message": message}}, ensure_ascii=False), err=True)
    else:
        click.echo(prefix + message, err=True)
    return exit_code


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether JSON is asked for, by ``-o json`` or a setting, for errors that come before the options are parsed."""
    joined = f" {' '.join(arguments)} "
    if any(form in joined for form in (" -o json ", " -ojson ", " --output json ", " --output=json ")):
        return True
    if any(form in joined for form in (" -o human ", " -ohuman ", " --output human ", " --output=human ")):
        return False
    try:
        return bool(load_settings().find("output").value == "json")
    except InputError:  # it is what we are about to tell
        return False
