"""The data folder: one owner, a note for other commands, and the signs of an owner that was killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskfleet.core.errors import AlreadyRunning, NotRunning, StoreError
from taskfleet.core.task import QueueKey
from taskfleet.embedded import datadir
from taskfleet.embedded.datadir import locked, read_up_file

QUEUES = (QueueKey("default", "demo"),)
URL = "valkey://:secret@127.0.0.1:1/0"
STATUS_URL = "http://127.0.0.1:1"


def test_a_note_is_found_while_its_owner_runs_and_not_after(tmp_path: Path) -> None:
    with locked(tmp_path) as data:
        data.announce(store_url=URL, status_url=STATUS_URL, namespace="team", queues=QUEUES)
        running = read_up_file(tmp_path)
        assert (running.pid, running.store_url, running.namespace) == (os.getpid(), URL, "team")
        assert running.queues == QUEUES
    with pytest.raises(NotRunning, match="no `taskfleet up` runs"):
        read_up_file(tmp_path)


def test_a_new_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b") as data:
        assert data.path.stat().st_mode & 0o077 == 0
        assert data.store.is_dir()


def test_the_second_owner_is_told_of_the_first_at_once(tmp_path: Path) -> None:
    with locked(tmp_path) as data:
        data.announce(store_url=URL, status_url=STATUS_URL, namespace="default", queues=QUEUES)
        with pytest.raises(AlreadyRunning, match=rf"process {os.getpid()}\b.*--data"), locked(tmp_path):
            pass
        assert read_up_file(tmp_path).pid == os.getpid(), "the refused one removed nothing"


def test_a_note_that_a_killed_owner_left_is_recognised(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal; from pathlib import Path; from taskfleet.embedded.datadir import locked\n"
        "with locked(Path(sys.argv[1])) as data:\n"
        "    data.announce(store_url='valkey://127.0.0.1:1', status_url='', namespace='default', queues=())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=30)
    assert (tmp_path / "up.json").exists()
    with pytest.raises(NotRunning, match=r"has ended.*its tasks are kept"):
        read_up_file(tmp_path)
    with locked(tmp_path) as data:
        data.announce(store_url=URL, status_url=STATUS_URL, namespace="default", queues=QUEUES)
        assert read_up_file(tmp_path).pid == os.getpid()


def test_a_lock_held_by_what_a_killed_owner_left_running_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datadir, "LOCK_PATIENCE_SECONDS", 0.1)
    with locked(tmp_path) as data:
        (data.path / "up.json").write_text('{"pid": 4194304, "store_url": "x", "namespace": "n", "queues": []}')
        with pytest.raises(AlreadyRunning, match="another process holds"), locked(tmp_path):
            pass


def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="cannot use the data folder"), locked(path):
            pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": 1, "store_url": "", "queues": 7}'])
def test_an_unreadable_note_is_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "up.json").write_bytes(content)
    with pytest.raises(NotRunning, match="cannot be read"):
        read_up_file(tmp_path)
