"""The tool terminal with a real shell in a real sandbox: what it tells, what limits it, and what it does not get at."""

import asyncio
import gc
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfleet.providers import Call, open_endpoint
from tests.support.waiting import eventually, wait_until
from tests.tools.host import ToolHost, tools_endpoint
from tests.tools.site import Server

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed: no sandbox here")

MARK = "taskfleet-test-secret"


def test_output_errors_and_status_of_a_command_are_told(host: ToolHost) -> None:
    told = host.result("terminal", command="cat; echo oh >&2; exit 3", stdin="grüße")
    assert (told["stdout"], told["stderr"]) == ("grüße", "oh\n")
    assert (told["ok"], told["exit_status"], told["killed_by"]) == (False, 3, None)


def test_a_list_is_a_program_and_its_arguments_without_a_shell(host: ToolHost) -> None:
    told = host.result("terminal", command=["printf", "%s|", "$HOME", "a b"])
    assert (told["ok"], told["stdout"]) == (True, "$HOME|a b|")


def test_a_program_that_is_not_there_is_a_result(host: ToolHost) -> None:
    assert host.result("terminal", command=["no-such-program"])["exit_status"] == 127


def test_its_own_folder_is_new_each_time(host: ToolHost) -> None:
    assert host.result("terminal", command="pwd; echo x > left; ls")["stdout"] == "/tmp\nleft\n"
    assert host.result("terminal", command="ls -A")["stdout"] == ""


@pytest.mark.parametrize(
    ("command", "killed_by"),
    [
        ("sleep 100", "time"),
        ("sleep 100 & sleep 100", "time"),
        ("trap '' TERM INT HUP; while :; do sleep 1; done", "time"),
        ("while :; do :; done & while :; do :; done", "cpu time"),
        ("yes", "output"),
        ("yes >&2", "output"),
        ("f() { f | f & }; f; sleep 100", None),  # the kernel refuses more processes, and nothing comes of it
        ("python3 -c 'x = bytearray(200 * 2**20); import time; time.sleep(100)'", "memory"),
        (
            "for i in 1 2 3 4; do python3 -c 'x = bytearray(30 * 2**20); import time; time.sleep(100)' & done; wait",
            "memory",
        ),
        ("exec head -c 20000000 /dev/zero > /tmp/file", "file size"),
        ("python3 -c 'import mmap; mmap.mmap(-1, 2**40)'", None),
    ],
)
def test_a_command_that_wants_too_much_is_stopped(host: ToolHost, command: str, killed_by: str | None) -> None:
    told = host.result("terminal", command=command, timeout=0.5 if killed_by in ("time", None) else 20)
    assert not told["ok"]
    assert told["killed_by"] == killed_by or killed_by is None
    assert len(told["stdout"]) <= 65536


def test_its_folder_holds_no_more_than_it_may(host: ToolHost) -> None:
    told = host.result("terminal", command="for i in 1 2 3; do head -c 4000000 /dev/zero > /tmp/$i; done; du -sb /tmp")
    assert int(told["stdout"].split()[0]) <= 8 * 2**20
    assert "No space left on device" in told["stderr"]


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("secret") / "secret"
    file.write_text(MARK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKFLEET_API_KEY", MARK)
        yield file


ESCAPES = {
    "read a file of the machine": "cat {secret} {secret_up}",
    "read who is on the machine": "cat /etc/passwd /etc/shadow ~/.bashrc",
    "read variables of the worker": "env; cat /proc/*/environ; cat /proc/{pid}/environ",
    "read memory of the worker": "cat /proc/{pid}/maps /proc/{pid}/root{secret}",
    "see other processes": "ls -d /proc/{pid}",
    "kill the worker": "kill -9 {pid}",
    "write to the system": "echo x > /usr/bin/x",
    "write to the root": "echo x > /x || mkdir /y",
    "write to /etc": "echo x > /etc/x",
    "write to devices": "echo x > /dev/shm/x || echo x > /dev/x",
    "set the kernel": "echo x > /proc/sys/kernel/core_pattern",
    "mount": "mount -t tmpfs none /tmp || mount --bind / /tmp",
    "another user namespace": "unshare --user --map-root-user true",
    "another user namespace, by clone": "python3 -c 'import ctypes, sys; "
    "sys.exit(ctypes.CDLL(None).syscall({clone}, 0x10000011, 0, 0, 0, 0) == -1)'",
    "another user namespace, by clone3": "python3 -c 'import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True); "
    "libc.syscall(435, 0, 88); sys.exit(ctypes.get_errno() == 38)'",
    "another user namespace, by the second numbering of calls": "python3 -c 'import ctypes, sys; "
    "sys.exit(ctypes.CDLL(None).syscall(0x40000000 + {unshare}, 0x10000000) == -1)'",
    "enter the worker's namespaces": "nsenter --target 1 --mount --net cat {secret}",
    "make a device": "mknod /tmp/disk b 8 0",
    "become root": "su -c true || setpriv --reuid=0 true",
    "change root": "chroot /tmp true",
    "reach a server of this machine": "python3 -c \"import socket; socket.create_connection(('127.0.0.1', {port}))\"",
    "reach the internet": "python3 -c \"import socket; socket.create_connection(('1.1.1.1', 53), 2)\"",
    "reach a socket of this machine": "python3 -c \"import socket; socket.socket(1).connect('/run/docker.sock')\"",
    "read the worker's files through its descriptors": "cat /proc/self/fd/[3-9]*",
    "hide a link in its folder": "ln -s {secret} /tmp/link && cat /tmp/link",
}


@pytest.mark.parametrize("what", ESCAPES)
def test_a_command_does_not_get_out(host: ToolHost, site: Server, secret: Path, what: str) -> None:
    calls = {"x86_64": {"clone": 56, "unshare": 272}, "aarch64": {"clone": 220, "unshare": 97}}[platform.machine()]
    line = ESCAPES[what].format(
        secret=secret, secret_up=f"/tmp/../../..{secret}", pid=os.getpid(), port=site.port, **calls
    )
    told = host.result("terminal", command=line, timeout=10)
    assert not told["ok"], told
    assert MARK not in told["stdout"] + told["stderr"]


def test_what_it_started_ends_with_it(host: ToolHost) -> None:
    told = host.result("terminal", command="setsid sleep 4711 >/dev/null 2>&1 & exit 0")
    assert told["ok"]
    wait_until(lambda: not running("sleep\x004711"), "what was left behind to end")


def test_a_call_that_is_cancelled_ends_its_command(host: ToolHost) -> None:
    call = host.begin("terminal", command="setsid sleep 4712 & sleep 4713")
    wait_until(lambda: running("sleep\x004712") and running("sleep\x004713"), "the command to run")
    call.cancel()
    wait_until(lambda: not running("sleep\x004712") and not running("sleep\x004713"), "the command to end")


def test_a_call_that_was_cancelled_is_over_when_nothing_is_left_of_its_command() -> None:
    def both_run() -> bool:
        return running("sleep\x004714") and running("sleep\x004715")

    async def cancel_one() -> None:
        provider = open_endpoint(tools_endpoint("terminal"))
        arguments = {"command": "setsid sleep 4714 & sleep 4715"}
        call = asyncio.create_task(provider.complete(Call("terminal", (), 60.0, arguments=arguments)))
        await eventually(both_run, "the command to run", timeout=30)
        call.cancel()
        await asyncio.wait((call,))
        assert not running("sleep\x004714")
        assert not running("sleep\x004715")
        await provider.close()

    for _ in range(10):  # what is left is often gone by chance
        asyncio.run(cancel_one())
        gc.collect()  # what the loop had not let go of would warn now


def test_without_a_sandbox_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None if name == "bwrap" else f"/usr/bin/{name}")
    bare = ToolHost(tools_endpoint("terminal"))
    try:
        outcome = bare.call("terminal", command=f"touch {tmp_path}/made")
    finally:
        bare.close()
    assert outcome.error.code == "no_sandbox"
    assert (
        "so that nothing is run: bwrap is not installed; install Debian's package bubblewrap" in outcome.error.message
    )
    assert not (tmp_path / "made").exists()


def test_a_sandbox_that_the_machine_forbids_is_told_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, path=None: str(broken) if name == "bwrap" else found(name))
    bare = ToolHost(tools_endpoint("terminal"))
    try:
        outcome = bare.call("terminal", command="true")
    finally:
        bare.close()
    assert outcome.error.code == "no_sandbox"


def running(words: str) -> bool:
    """Whether a process of this machine has these words in its command line."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in process.read_text():
                return True
        except OSError:
            continue
    return False
