"""Loading manifests: files and folders, many documents, lines, defaults, and what is left aside."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from taskfleet.api.base import Duration
from taskfleet.api.manifests import load
from taskfleet.core.errors import InvalidManifest
from taskfleet.core.task import QueueKey

QUEUE = """\
apiVersion: taskfleet.dev/v1alpha1
kind: TaskQueue
metadata: {name: demo}
spec:
  models: [{name: smollm2}]
"""
POOL = """\
apiVersion: taskfleet.dev/v1alpha1
kind: WorkerPool
metadata: {name: demo}
spec:
  queueRef: {name: demo}
  endpoints:
  - {name: local, url: "http://llm:8080/v1", models: [smollm2]}
"""
Write = Callable[[str, str | bytes], Path]
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: llm-key}\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a file into the current folder, which is the test's own; gives its relative path."""
    monkeypatch.chdir(tmp_path)

    def write_file(name: str, text: str | bytes) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_file


def problems(*paths: Path) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        load(paths)
    return str(refused.value).splitlines()


def test_defaults_are_filled_in_and_values_have_their_units(write: Write) -> None:
    found = load([write("all.yaml", f"{QUEUE}---\n{POOL}")])
    (queue,), (pool,) = found.queues, found.pools
    assert queue.key == pool.queue == QueueKey("default", "demo")
    assert queue.spec.retry.max_attempts == 5
    assert queue.spec.task_ttl == Duration("24h")
    assert queue.spec.limits.max_task_bytes.bytes == 2**20
    assert pool.spec.endpoints[0].concurrency == 4
    assert pool.spec.policy.patience.scale_to_zero == 120
    assert found.warnings == found.notes == []


def test_a_folder_gives_its_yaml_and_json_files_in_order_and_nothing_below_it(write: Write) -> None:
    write("here/b.yml", QUEUE.replace("demo", "b"))
    write("here/a.yaml", QUEUE.replace("demo", "a"))
    queue = {"apiVersion": "taskfleet.dev/v1alpha1", "kind": "TaskQueue", "spec": {"models": [{"name": "smollm2"}]}}
    write("here/c.json", json.dumps({**queue, "metadata": {"name": "c"}}, indent=2))
    write("here/notes.txt", "not: a manifest")
    write("here/below/d.yaml", "nor: this")
    assert [queue.metadata.name for queue in load([Path("here")]).queues] == ["a", "b", "c"]


def test_problems_of_all_files_and_documents_are_told_at_once_with_file_and_line(write: Write) -> None:
    idle = POOL.replace("models: [smollm2]", "models: [smollm2], concurrency: 0")
    first = write("first.yaml", f"{QUEUE}  taskTimeout: soon\n---\n# a comment\n\n{idle}")
    second = write("second.yaml", f"{QUEUE.replace('demo', 'other')}  stopPolicie: None\n")
    assert problems(first, second) == [
        (
            'first.yaml:6: The TaskQueue "demo" is invalid: spec.taskTimeout: Invalid value: "soon": '
            "must be a duration from 100ms to 24h, such as 120s"
        ),
        (
            'first.yaml:16: The WorkerPool "demo" is invalid: spec.endpoints[0].concurrency: Invalid value: 0: '
            "spec.endpoints[0].concurrency in body should be greater than or equal to 1"
        ),
        (
            'second.yaml:6: TaskQueue in version "v1alpha1" cannot be handled as a TaskQueue: '
            'strict decoding error: unknown field "spec.stopPolicie"'
        ),
    ]


def test_one_name_twice_is_refused_where_it_comes_again(write: Write) -> None:
    first, second = write("first.yaml", QUEUE), write("second.yaml", f"{POOL}---\n{QUEUE}")
    assert problems(first, second) == [
        'second.yaml:9: TaskQueue "demo" is already at first.yaml:1; rename or remove one of the two'
    ]


def test_one_name_in_two_namespaces_or_of_two_kinds_is_fine(write: Write) -> None:
    elsewhere = QUEUE.replace("{name: demo}", "{name: demo, namespace: other}")
    found = load([write("all.yaml", f"{QUEUE}---\n{elsewhere}---\n{POOL}")])
    assert [str(queue.key) for queue in found.queues] == ["default/demo", "other/demo"]


def test_other_kinds_are_left_aside_with_a_note(write: Write) -> None:
    found = load([write("all.yaml", f"{SECRET}---\n{QUEUE}")])
    assert found.notes == ["all.yaml:1: skipped Secret (v1): not of Taskfleet"]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("TaskQueue", "TaskQueu", '2: no matches for kind "TaskQueu" in version "taskfleet.dev/v1alpha1"'),
        ("v1alpha1", "v2", '1: no matches for kind "TaskQueue" in version "taskfleet.dev/v2"'),
        ("taskfleet.dev/v1alpha1", "v1", '1: no matches for kind "TaskQueue" in version "v1"'),
    ],
)
def test_a_misspelt_kind_or_version_of_ours_is_no_other_kind(write: Write, old: str, new: str, text: str) -> None:
    assert problems(write("queue.yaml", QUEUE.replace(old, new))) == [f"queue.yaml:{text}"]


def test_a_pool_whose_queue_is_in_no_file_is_warned_about(write: Write) -> None:
    found = load([write("pool.yaml", f"---\n{POOL}")])
    assert found.warnings == [
        'pool.yaml:2: WorkerPool "demo" serves the TaskQueue "default/demo", which is in none of these files'
    ]


def test_files_that_cannot_be_read_say_why(write: Write) -> None:
    missing, empty = Path("missing.yaml"), write("empty/readme.txt", "").parent
    latin = write("latin.yaml", "# caf\xe9".encode("latin-1"))
    assert problems(missing, empty, latin) == [
        "missing.yaml: cannot read it: No such file or directory",
        "empty: no .yaml, .yml, .json file in this folder",
        "latin.yaml: not UTF-8: byte 5 is 0xe9",
    ]


def test_files_without_anything_of_ours_are_an_error(write: Write) -> None:
    assert problems(write("secret.yaml", SECRET), write("empty.yaml", "# nothing\n---\n")) == [
        "no TaskQueue, no WorkerPool and no ParallelQueue in these files"
    ]


def test_what_comes_before_broken_yaml_is_still_checked(write: Write) -> None:
    broken = write("queue.yaml", f"{QUEUE}  taskTimeout: soon\n---\nkind: [TaskQueue\n")
    first, second = problems(broken)
    assert first.startswith("queue.yaml:6: ")
    assert second == "queue.yaml:9: not YAML: while parsing a flow sequence expected ',' or ']', but got '<stream end>'"


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(write: Write) -> None:
    text = b"\xef\xbb\xbf" + QUEUE.replace("\n", "\r\n").encode()
    assert load([write("queue.yaml", text)]).queues[0].metadata.name == "demo"


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(QUEUE))
    assert load([Path("-")]).queues[0].metadata.name == "demo"


def test_a_problem_inside_a_list_object_has_its_own_line(write: Write) -> None:
    listed = write(
        "list.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: taskfleet.dev/v1alpha1\n  kind: TaskQueue\n"
        "  metadata: {name: demo}\n  spec:\n    models: [{name: a}]\n    taskTimeout: 5\n",
    )
    assert problems(listed)[0].startswith('list.yaml:9: The TaskQueue "demo" is invalid: spec.taskTimeout: ')


def test_what_kubectl_get_prints_can_be_loaded_again(write: Write) -> None:
    system = "uid: 3f, resourceVersion: '7', generation: 2, creationTimestamp: 2026-01-01T00:00:00Z, managedFields: []"
    exported = QUEUE.replace("{name: demo}", f"{{name: demo, {system}, finalizers: [taskfleet.dev/drain]}}")
    found = load([write("queue.yaml", f"{exported}status: {{pending: 3}}\n")])
    assert found.queues[0].metadata.finalizers == ["taskfleet.dev/drain"]
    assert found.queues[0].status == {}
    assert found.queues[0].metadata.uid is None
    assert found.queues[0].metadata.generation == 0


def test_the_samples_are_accepted() -> None:
    found = load([Path(__file__).parents[2] / "manifests" / "samples"])
    names = [queue.metadata.name for queue in found.queues]
    assert names == [
        "auto",
        "checks",
        "chores",
        "external",
        "answers",
        "hpa",
        "keda",
        "limited",
        "found",
        "openai",
        "own-gpu",
        "chats",
        "shared",
        "tools",
        "vllm",
    ]
    assert [pool.metadata.name for pool in found.pools] == [name for name in names if name != "chores"], (
        "each but the one that people and agents serve"
    )
