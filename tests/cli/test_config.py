"""Settings: an option, else the environment, else `taskfleet.yaml`, else the default; `config` says which it was."""

from pathlib import Path

import pytest

from taskfleet.cli.config import masked
from tests.cli.conftest import Remote
from tests.support.commands import Taskfleet

VARIABLES = ("STORE_URL", "DATA", "NAMESPACE", "QUEUE", "OUTPUT", "POLL", "LEASE")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, two below one that may have a file; nothing is set."""
    inside = tmp_path / "project" / "deep"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    for name in VARIABLES:
        monkeypatch.delenv(f"TASKFLEET_{name}", raising=False)
    return inside


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taskfleet: Taskfleet) -> Path:
    """The user's own file, not there yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "taskfleet").mkdir(parents=True)
    return tmp_path / "config" / "taskfleet" / "taskfleet.yaml"


def settings(taskfleet: Taskfleet, *options: str) -> dict[str, tuple[object, str]]:
    """Value and source of each."""
    done = taskfleet("config", *options, "-o", "json")
    assert done.code == 0, done.err
    return {name: (each["value"], each["from"]) for name, each in done.json["settings"].items()}


def test_without_anything_all_are_defaults(folder: Path, taskfleet: Taskfleet) -> None:
    assert settings(taskfleet) == {
        "storeUrl": (None, "default"),
        "data": (".taskfleet", "default"),
        "namespace": (None, "default"),
        "queue": (None, "default"),
        "output": ("json", "--output"),
        "poll": (10.0, "default"),
        "lease": (1800.0, "default"),
    }
    said = taskfleet("config")
    assert "setting\tvalue\tfrom\n" in said.out
    assert 'namespace\t(that of the running `up`, else "default")\tdefault\n' in said.out
    assert "lease\t30m\tdefault\n" in said.out
    assert said.err == "commands find their store by data\n"


def test_an_option_wins_over_the_environment_and_that_over_the_nearest_file_and_that_over_the_users(
    folder: Path, user: Path, taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = folder.parent / "taskfleet.yaml"
    user.write_text("# mine\nqueue: of-user\nnamespace: of-user\nlease: 1h\ndata: fleet\n")
    near.write_text("queue: of-file\nnamespace: of-file\npoll: 2\n")
    (folder.parents[1] / "taskfleet.yaml").write_text("queue: not-the-nearest\noutput: json\n")
    monkeypatch.setenv("TASKFLEET_QUEUE", "of-environment")
    assert settings(taskfleet) == {
        "storeUrl": (None, "default"),
        "data": (str(user.parent / "fleet"), f"{user}:5"),
        "namespace": ("of-file", f"{near}:2"),
        "queue": ("of-environment", "TASKFLEET_QUEUE"),
        "output": ("json", "--output"),
        "poll": (2.0, f"{near}:3"),
        "lease": (3600.0, f"{user}:4"),
    }
    assert settings(taskfleet, "-q", "of-option")["queue"] == ("of-option", "--queue")
    assert taskfleet("config", "-o", "json").json["files"] == [str(near), str(user)]


def test_commands_use_what_is_set(
    folder: Path, remote: Remote, taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKFLEET_STORE_URL")
    (folder / "taskfleet.yaml").write_text(
        f"storeUrl: {remote.url}\nnamespace: {remote.key.namespace}\nqueue: {remote.key.name}\n"
        "output: json\nlease: 5m\n"
    )
    assert taskfleet("submit", remote.key.name, "Hi", "--id", "t-1").json["queue"] == remote.name
    assert taskfleet("status", "t-1").json["state"] == "pending"
    assert taskfleet("explain", "model", "fast").json["model"] == "small"
    assert taskfleet("run").json["id"] == "t-1"
    stats = remote.ask(lambda store: store.stats(remote.key))
    assert stats is not None and stats.next_due_at is not None
    assert 290 < stats.next_due_at - stats.now <= 300
    assert taskfleet("complete", "t-1", "Done").json["status"] == "completed"
    assert taskfleet("status", "t-1", "-o", "human").out.startswith("task t-1 in ")
    wrong = taskfleet("status", "t-9")
    assert (wrong.code, '"code": "not_found"' in wrong.err) == (4, True), "errors too come in the form that is set"


def test_a_folder_that_is_named_nearer_than_the_url_is_meant(
    folder: Path, taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def store() -> object:
        return taskfleet("config", "-o", "json").json["store"]

    (folder / "taskfleet.yaml").write_text("storeUrl: valkey://localhost:1\ndata: here\n")
    assert store() == "storeUrl"
    monkeypatch.setenv("TASKFLEET_DATA", "there")
    assert store() == "data"
    missing = taskfleet("stats", "demo")
    assert (missing.code, "no `taskfleet up` runs on there" in missing.err) == (17, True)
    monkeypatch.setenv("TASKFLEET_STORE_URL", "valkey://localhost:1")
    assert store() == "storeUrl"
    assert taskfleet("config", "--data", "that", "-o", "json").json["store"] == "data"


def test_an_empty_variable_is_not_set(folder: Path, taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFLEET_QUEUE", "")
    assert settings(taskfleet)["queue"] == (None, "default")


def test_an_empty_file_sets_nothing(folder: Path, taskfleet: Taskfleet) -> None:
    (folder / "taskfleet.yaml").write_text("# later\n")
    assert settings(taskfleet)["queue"] == (None, "default")


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("queue: demo\nnamspace: a\n", 2, "namspace: there is no such setting; did you mean namespace?"),
        ("url: valkey://h\n", 1, "url: there is no such setting; did you mean storeUrl?"),
        ("store_url: valkey://h\n", 1, "store_url: there is no such setting; did you mean storeUrl?"),
        ("queue: yes\n", 1, "queue: it must be a word or a number"),
        ("queue: [a]\n", 1, "queue: it must be a word or a number"),
        ("a:\n  b: 1\n", 1, "a: there is no such setting"),
        ("queue:\n", 1, "queue: it must be a word or a number"),
        ("queue: a\nqueue: b\n", 2, 'key "queue" already set in map'),
        ("lease: soon\n", 1, "lease: 'soon' is not a duration from 1s to 168h"),
        ("poll: 0\n", 1, "poll: '0' is not a duration from 1s to 168h"),
        ("output: yaml\n", 1, "output: 'yaml' is none of human, json"),
        ("- queue\n", 1, "not a map of settings"),
        ("queue: {\n", 2, "not YAML: "),
        ("queue: a\n---\nqueue: b\n", 3, "a second document"),
    ],
)
def test_a_wrong_file_is_an_error_with_file_line_and_what_to_write(
    text: str, line: int, said: str, folder: Path, taskfleet: Taskfleet
) -> None:
    file = folder.parent / "taskfleet.yaml"
    file.write_text(text)
    for command in (("config",), ("status", "t-1"), ("up", "-f", "manifests")):
        done = taskfleet(*command)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"taskfleet: {file}:{line}: {said}"), done.err
        assert len(done.err.splitlines()) == 1


def test_a_file_that_is_not_text_is_an_error(folder: Path, taskfleet: Taskfleet) -> None:
    (folder / "taskfleet.yaml").write_bytes(b"queue: \xff\n")
    done = taskfleet("config")
    assert (done.code, "taskfleet.yaml:1: not UTF-8" in done.err) == (2, True)


def test_a_wrong_variable_is_named(folder: Path, taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKFLEET_LEASE", "soon")
    done = taskfleet("run", "-q", "demo")
    assert (done.code, "TASKFLEET_LEASE: 'soon' is not a duration" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("valkey://localhost:6379/0", "valkey://localhost:6379/0"),
        ("valkeys://user:s3cret@host:6379/0", "valkeys://user:***@host:6379/0"),
        ("valkey://:s3cret@host", "valkey://:***@host"),
        ("valkey://s3cret@host", "valkey://***@host"),
        ("valkey://user:s3cr@t@host", "valkey://user:***@host"),
        ("valkey://host?password=s3cret&db=1", "valkey://host?password=***&db=***"),
        ("valkey+sentinel://u:s3cret@a:1,b:2/main", "valkey+sentinel://u:***@a:1,b:2/main"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("user:s3cret@host", "***"),
        ("valkey://[s3cret", "***"),
        ("valkey://user:s3cr/et@host", "***"),
        ("valkey://user:s3cr#et@host", "***"),
        ("valkey://user:s3cret", "***"),
        ("http://user:s3cret@host", "***"),
        ("s3cret", "***"),
    ],
)
def test_no_secret_of_a_url_is_shown(
    url: str, shown: str, folder: Path, taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert masked(url) == shown
    monkeypatch.setenv("TASKFLEET_STORE_URL", url)
    for options in ((), ("-o", "json")):
        done = taskfleet("config", *options)
        assert "s3cr" not in done.out + done.err
        assert shown in done.out
