"""The seccomp profile for nodes; that the sandbox is to be had under it is seen on a cluster (test_tools.py of e2e)."""

import json
from pathlib import Path

PROFILE = json.loads((Path(__file__).parents[2] / "manifests/seccomp/taskfleet-terminal.json").read_text())
OF_THE_SANDBOX = {"clone", "unshare", "mount", "umount2", "pivot_root", "chroot", "prctl", "seccomp", "sethostname"}
OF_NOBODY = {"init_module", "kexec_load", "bpf", "perf_event_open", "keyctl", "setns", "open_by_handle_at", "ptrace"}


def test_the_profile_allows_what_the_sandbox_is_made_of_and_not_what_reaches_for_the_kernel() -> None:
    (rule,) = PROFILE["syscalls"]
    assert (PROFILE["defaultAction"], rule["action"]) == ("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO")
    assert OF_THE_SANDBOX & set(rule["names"]) == set()
    assert OF_NOBODY - set(rule["names"]) == set()
