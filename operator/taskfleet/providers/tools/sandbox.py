"""The sandbox of the tool ``terminal``: bubblewrap's namespaces around one command (docs/adr/0020-tools.md).

No network, no other processes, no capabilities; of the file system only the system's programs, read-only, and an empty
/tmp of its own. Where any of this is not to be had, nothing is run.
"""

import asyncio
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path

from taskfleet.api.toolsettings import TerminalSettings
from taskfleet.providers.tools.syscalls import no_new_namespaces

PROBE_SECONDS = 20.0
_NOBODY = "65534"
_FILTER = "<filter>"  # its place in the command line; each process reads it from a descriptor of its own
_WHAT_TO_DO = (
    "User namespaces must be allowed. In a cluster set the pool's workerTemplate.seccompProfile, and on nodes with "
    "AppArmor workerTemplate.appArmorProfile too, as the guide on tools says (docs/guides/tools.md); on a machine of "
    "your own it is sysctl kernel.unprivileged_userns_clone=1, or kernel.apparmor_restrict_unprivileged_userns=0."
)
# Room for programs that map more than they touch; what they touch is watched.
_MAPPED_TIMES = 8
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")


class NoSandbox(Exception):
    """This machine does not let us build one; the sentence says what is amiss and what to do."""


class Sandbox:
    """Finds out once whether it can be built here."""

    def __init__(self, settings: TerminalSettings) -> None:
        self._settings = settings
        self._prefix: list[str] | None = None
        self._probing = asyncio.Lock()

    async def start(self, command: Sequence[str]) -> Process:
        """Run ``command`` inside, with pipes; killing the process kills all that is inside. Raises NoSandbox."""
        async with self._probing:
            if self._prefix is None:
                self._prefix = await self._that_works()
        return await _started([*self._prefix, *command], stdin=PIPE, stdout=PIPE)

    async def _that_works(self) -> list[str]:
        try:
            return await _probed(self._built("--proc"))
        except NoSandbox:
            # Of a container's /proc parts are covered, and the kernel makes no other that would show them. A command
            # then has none at all.
            return await _probed(self._built("--dir"))

    def _built(self, proc: str) -> list[str]:
        bwrap, limiter = _program("bwrap", "bubblewrap"), _program("prlimit", "util-linux")
        if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
            raise NoSandbox("the kernel does not tell which processes run inside it (CONFIG_PROC_CHILDREN)")
        settings = self._settings
        # Root's own commands would not be held to the number of processes, and could read what is root's.
        drop = [_program("setpriv", "util-linux"), f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        return [
            *(drop if os.geteuid() == 0 else ()),
            *(_program("choom", "util-linux"), "-n", "1000", "--"),  # where memory ends, it goes before the worker does
            *(bwrap, "--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc"),
            *("--unshare-uts", "--unshare-cgroup-try", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *("--uid", _NOBODY, "--gid", _NOBODY, "--hostname", "sandbox"),
            *("--ro-bind", "/usr", "/usr"),
            *_as_here(_SYSTEM),
            *_as_here(_CONFIGURATION),
            *(proc, "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
            *("--size", str(settings.folder_size.bytes), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/tmp"),
            *("--clearenv", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin", "--setenv", "HOME", "/tmp"),
            *("--setenv", "LANG", "C.UTF-8", "--seccomp", _FILTER, "--"),
            *(limiter, f"--nproc={settings.processes}", f"--cpu={int(settings.cpu_time.seconds) + 1}"),
            *(f"--as={_MAPPED_TIMES * settings.memory.bytes}", f"--fsize={settings.folder_size.bytes}"),
            *("--core=0", "--nofile=256", "--"),
        ]


def _as_here(paths: Sequence[str]) -> list[str]:
    """The same links and folders as outside, of those that are there."""
    found: list[str] = []
    for path in map(Path, paths):
        if path.is_symlink() and path.parent == Path("/"):
            found += ("--symlink", str(path.readlink()), str(path))
        elif path.exists():
            found += ("--ro-bind", str(path), str(path))
    return found


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        raise NoSandbox(f"{name} is not installed; install Debian's package {package}")
    return found


async def _probed(prefix: list[str]) -> list[str]:
    """The same, once something has run in it."""
    process = await _started([*prefix, "true"], stdin=DEVNULL, stdout=DEVNULL)
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        raise NoSandbox(f"it did not start within {PROBE_SECONDS:g} s") from None
    finally:
        await end(process)
    if process.returncode:
        words = said.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise NoSandbox(f"{words[:500]}\n{_WHAT_TO_DO}")
    return prefix


async def end(process: Process) -> None:
    """Kill it, if it still runs, and wait until it and all that it started have let go of its pipes."""
    if process.returncode is None:
        process.kill()
    await process.communicate()


async def _started(line: Sequence[str], *, stdin: int, stdout: int) -> Process:
    with no_new_namespaces() as filter_file:
        if filter_file is None:
            raise NoSandbox("no filter of system calls is known for this processor; use amd64 or arm64")
        line = [str(filter_file) if word is _FILTER else word for word in line]
        return await asyncio.create_subprocess_exec(
            *line, stdin=stdin, stdout=stdout, stderr=PIPE, env={}, pass_fds=(filter_file,)
        )
