"""The comparison with other task queues counts for all of them what it says."""

import time
from pathlib import Path

import pytest

from chaos.history import Call
from chaos.peers.adapters import PEERS, Peer
from chaos.peers.compare import FIRST, PATIENCE_SECONDS, REPLACEMENT, SECOND, Outcome, table, wait
from chaos.peers.contestants import APPS
from tests.chaos.given import history

ROOT = Path(__file__).resolve().parents[2]


async def test_tasks_in_hand_are_counted_as_run_again_as_lost_and_as_run_twice() -> None:
    killed = time.monotonic() - PATIENCE_SECONDS - 1
    past = history(
        Call(1, "warm-up-0-1", FIRST, killed - 9, killed - 8),
        Call(2, "again", FIRST, killed - 1),
        Call(3, "again", REPLACEMENT, killed + 15, killed + 16),
        Call(4, "lost", FIRST, killed - 1),
        Call(5, "twice", FIRST, killed - 2, killed - 1),
        Call(6, "twice", SECOND, killed + 15, killed + 16),
        Call(7, "well", SECOND, killed - 1, killed + 1),
    )
    outcome = await wait(past, killed, ["again", "lost"], tasks=4)
    (seconds,) = outcome.rerun_seconds
    assert seconds == pytest.approx(15)
    assert (outcome.in_hand, outcome.not_done, outcome.doubled) == (2, 1, 1)


def test_the_table_says_who_never_ran_a_task_again() -> None:
    header, ours, other = table({"ours": Outcome(4, [14.8, 15.2], 0, 0), "other": Outcome(3, [], 3, 0)}).splitlines()
    assert "not in 120 s" in header
    assert ours.split() == ["ours", "4", "2", "14.8", "to", "15.2", "0", "0"]
    assert other.split() == ["other", "3", "0", "-", "3", "0"]


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.app)
def test_each_peer_has_its_task_and_exact_versions(peer: Peer) -> None:
    compile((APPS / f"{peer.app}.py").read_text(), peer.app, "exec")
    assert all("==" in package for package in peer.packages)
    assert any(peer.app in word for word in peer.worker)
