"""The tool file: what is under its folder, and nothing that is not."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskfleet.core.outcome import EndpointDown
from taskfleet.providers.tools.rooted import BadPath, Root
from tests.tools.host import ToolHost, tools_endpoint


def test_what_is_written_is_read_listed_and_deleted(host: ToolHost, root: Path) -> None:
    assert host.result("file", action="write", path="a/b/page.txt", text="Grüße")["bytes"] == 7
    assert (root / "a/b/page.txt").read_text() == "Grüße"
    assert host.result("file", action="read", path="./a//b/page.txt")["text"] == "Grüße"
    (entry,) = host.result("file", action="list", path="a/b")["entries"]
    assert (entry["name"], entry["kind"], entry["bytes"]) == ("page.txt", "file", 7)
    host.result("file", action="delete", path="a/b/page.txt")
    host.result("file", action="delete", path="a/b")
    assert host.result("file", action="list", path="a")["entries"] == []


def test_what_is_no_text_is_base64_both_ways(host: ToolHost) -> None:
    host.result("file", action="write", path="bytes", base64="//79")
    told = host.result("file", action="read", path="bytes")
    assert (told["text"], told["base64"], told["bytes"]) == (None, "//79", 3)
    assert host.refused("file", action="write", path="bytes", base64="no base64!") == "bad_arguments"


def test_a_file_is_replaced_whole_and_leaves_nothing_beside_it(host: ToolHost, root: Path) -> None:
    for text in ("first", "second"):
        host.result("file", action="write", path="twice/file", text=text)
    assert host.result("file", action="read", path="twice/file")["text"] == "second"
    assert list((root / "twice").iterdir()) == [root / "twice/file"]


def test_sizes_are_bounded(host: ToolHost, root: Path) -> None:
    assert host.refused("file", action="write", path="large", text="x" * 70_000) == "too_large"
    (root / "large").write_text("x" * 70_000)
    assert host.refused("file", action="read", path="large") == "too_large"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"action": "read", "path": "no/such"}, "not_found"),
        ({"action": "list", "path": "nowhere"}, "not_found"),
        ({"action": "delete", "path": "nothing"}, "not_found"),
        ({"action": "read", "path": "folder"}, "not_a_file"),
        ({"action": "write", "path": "folder", "text": "x"}, "not_a_file"),
        ({"action": "delete", "path": "folder"}, "bad_path"),  # there is something in it
        ({"action": "read", "path": "."}, "not_a_file"),
        ({"action": "delete", "path": "."}, "not_a_file"),
        ({"action": "list", "path": "folder/file"}, "bad_path"),
        ({"action": "read", "path": "x" * 300}, "bad_path"),
        ({"action": "read", "path": "pipe"}, "not_a_file"),
        ({"action": "read", "path": "socket"}, "bad_path"),
    ],
)
def test_what_cannot_be_done_is_said(host: ToolHost, inside: Path, arguments: dict[str, str], code: str) -> None:
    assert host.refused("file", **arguments) == code


@pytest.fixture(scope="session")  # as the root is: tests of a module may be run in several goes
def inside(host: ToolHost, root: Path) -> Iterator[Path]:
    """The root with a folder, a pipe and a socket."""
    (root / "folder").mkdir()
    (root / "folder/file").write_text("x")
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "socket"))
        yield root


@pytest.fixture(scope="session")
def outside(host: ToolHost, root: Path) -> Path:
    """A secret beside the root, and links to it."""
    folder = root.parent / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    (root / "link").symlink_to(folder / "secret")
    (root / "near").symlink_to("../outside/secret")
    (root / "way").symlink_to(folder)
    (root / "chain").symlink_to("way")
    (root / "round").symlink_to("round")
    (root / "machine").symlink_to("/")
    (root / "proc").symlink_to("/proc/self/root")
    return folder


ESCAPES = [
    *("../outside/secret", "a/../../outside/secret", "..", "./..", "a/b/../../../outside/secret", "folder/.."),
    *("/etc/passwd", "//etc/passwd", "link", "near", "way/secret", "chain/secret", "round", "machine/etc/passwd"),
    *("proc/etc/passwd", "way", "a\0/../../x", "..\\outside", "%2e%2e/outside/secret", "～/secret", "...//secret"),
]


@pytest.mark.parametrize("action", ["read", "write", "list"])
@pytest.mark.parametrize("path", ESCAPES)
@pytest.mark.usefixtures("inside")
def test_no_path_leads_out(host: ToolHost, outside: Path, root: Path, action: str, path: str) -> None:
    more = {"text": "changed"} if action == "write" else {}
    outcome = host.call("file", action=action, path=path, **more)
    assert "secret" not in str(getattr(outcome, "output", {}).get("text")), outcome
    assert list(outside.iterdir()) == [outside / "secret"]
    assert (outside / "secret").read_text() == "secret"
    if path in ("link", "near"):  # writing over a link makes a file in its place
        (root / path).unlink()
        (root / path).symlink_to(outside / "secret")


def test_deleting_a_link_deletes_the_link(host: ToolHost, outside: Path, root: Path) -> None:
    (root / "gone").symlink_to(outside / "secret")
    host.result("file", action="delete", path="gone")
    assert not (root / "gone").is_symlink()
    assert (outside / "secret").exists()


def test_a_link_that_is_swapped_in_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    here, away = tmp_path / "root", tmp_path / "away"
    for folder, text in ((here / "turn", "mine"), (away, "secret")):
        folder.mkdir(parents=True)
        (folder / "file").write_text(text)
    (here / "link").symlink_to(away)
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            for old, new in (("turn", "hidden"), ("link", "turn"), ("turn", "link"), ("hidden", "turn")):
                (here / old).rename(here / new)

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen, root = set(), Root(str(here), 100)
    try:
        for _ in range(2000):
            try:
                seen.add(root.read("turn/file"))
            except BadPath as error:
                seen.add(error.code.encode())
    finally:
        done.set()
        swapping.join(10)
    assert b"mine" in seen
    assert b"secret" not in seen


def test_a_folder_that_is_read_only_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    quiet = ToolHost(tools_endpoint("file", file={"root": str(tmp_path), "readOnly": True}))
    try:
        assert quiet.refused("file", action="write", path="file", text="y") == "not_permitted"
        assert quiet.refused("file", action="delete", path="file") == "not_permitted"
        assert quiet.result("file", action="read", path="file")["text"] == "x"
    finally:
        quiet.close()


def test_a_root_that_is_not_there_is_the_workers_trouble_and_not_the_tasks(tmp_path: Path) -> None:
    lost = ToolHost(tools_endpoint("file", file={"root": str(tmp_path / "unmounted")}))
    try:
        outcome = lost.call("file", action="list", path=".")
    finally:
        lost.close()
    assert isinstance(outcome, EndpointDown)
    assert not outcome.reached
