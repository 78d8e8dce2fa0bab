"""System calls that a command in the sandbox may not make, as a filter that the kernel runs at each of them.

Only what makes or enters other namespaces: with one of its own users a command would be root of something, and reach
parts of the kernel that nobody else does. (The kernel's own switch for it, a file under /proc/sys, cannot be written
in a container.)
"""

import errno
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_CLONE_NEWUSER = 0x10000000
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000  # SECCOMP_RET_*
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of classic BPF
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16  # in struct seccomp_data, little-endian
_NO_SECOND_NUMBERING = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Machine:
    """``audit``: its name in the kernel. Numbers from ``second_numbering`` on are another way to call the same."""

    audit: int
    clone: int
    unshare: int
    setns: int
    second_numbering: int = _NO_SECOND_NUMBERING
    clone3: int = 435


_MACHINES = {
    "x86_64": _Machine(0xC000003E, clone=56, unshare=272, setns=308, second_numbering=0x40000000),
    "aarch64": _Machine(0xC00000B7, clone=220, unshare=97, setns=268),
}


@contextmanager
def no_new_namespaces() -> Iterator[int | None]:
    """A descriptor to read the filter from, for one program; None on a machine whose numbers are not known here."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        yield None
        return
    file = os.memfd_create("system-calls")
    try:
        os.write(file, _program(machine))
        os.lseek(file, 0, os.SEEK_SET)
        yield file
    finally:
        os.close(file)


def _program(machine: _Machine) -> bytes:
    # Each step: what to do, with what, and how many steps to skip if it is so, and if it is not.
    steps = (
        (_LOAD, _ARCHITECTURE_AT, 0, 0),
        (_IF_EQUAL, machine.audit, 0, 10),  # another architecture's calls: refused
        (_LOAD, _NUMBER_AT, 0, 0),
        (_IF_AT_LEAST, machine.second_numbering, 8, 0),
        (_IF_EQUAL, machine.setns, 7, 0),
        (_IF_EQUAL, machine.clone3, 7, 0),  # its flags stand where no filter can look; C libraries then use clone
        (_IF_EQUAL, machine.clone, 2, 0),
        (_IF_EQUAL, machine.unshare, 1, 0),
        (_RETURN, _ALLOW, 0, 0),
        (_LOAD, _FIRST_ARGUMENT_AT, 0, 0),
        (_IF_ANY_BIT, _CLONE_NEWUSER, 1, 0),
        (_RETURN, _ALLOW, 0, 0),
        (_RETURN, _REFUSE | errno.EPERM, 0, 0),
        (_RETURN, _REFUSE | errno.ENOSYS, 0, 0),
    )
    return b"".join(struct.pack("=HBBI", what, so, not_so, value) for what, value, so, not_so in steps)
