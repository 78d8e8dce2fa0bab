"""The files of a batch, taken up again after a kill at any moment."""

import json
from pathlib import Path
from typing import Any

from taskfleet.core.errors import InvalidTask
from taskfleet.core.task import Priority, QueueKey, TaskError, TaskState, TaskView
from taskfleet.gateway.batchfiles import BatchFiles
from taskfleet.gateway.filestore import FileStore

QUEUE = QueueKey("test", "q")
BATCH = f"batch_{'0' * 24}"


def view(number: int, state: TaskState = TaskState.COMPLETED, error: TaskError | None = None) -> TaskView:
    return TaskView(
        f"{BATCH}-{number}",
        state,
        "stub",
        Priority.LOW,
        1,
        1.0,
        output="hi" if state is TaskState.COMPLETED else None,
        error=error,
        metadata={"custom_id": f"r{number}"},
    )


def opened(folder: Path) -> BatchFiles:
    files = BatchFiles(FileStore(folder), QUEUE, BATCH, "/v1/chat/completions")
    files.open("default", 1, 1)
    return files


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_what_is_written_is_not_written_again(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write([view(1), view(2), view(2), view(3, TaskState.FAILED, TaskError("timeout", "slow"))])
    second = opened(tmp_path)  # as after a kill of the first
    second.write([view(1), view(3), view(4), view(5, TaskState.EXPIRED)])
    assert (second.counts.completed, second.counts.failed, second.counts.expired) == (3, 1, 1)
    second.close()
    first.close()
    assert [each["custom_id"] for each in lines(tmp_path / second.output_id)] == ["r1", "r2", "r4"]
    failed, expired = lines(tmp_path / second.errors_id)
    assert (failed["custom_id"], failed["response"]["status_code"], failed["error"]) == ("r3", 504, None)
    assert (expired["custom_id"], expired["response"]) == ("r5", None)
    assert expired["error"]["code"] == "batch_expired"


def test_a_line_that_was_cut_is_written_whole(tmp_path: Path) -> None:
    first = opened(tmp_path)
    first.write([view(1), view(2)])
    first.close()
    path = tmp_path / first.output_id
    for cut in (1, 30, len(path.read_bytes()) - 1):
        whole = path.read_bytes()
        path.write_bytes(whole[:-cut])
        again = opened(tmp_path)
        again.write([view(1), view(2)])
        again.close()
        assert sorted(each["custom_id"] for each in lines(path)) == ["r1", "r2"]


def test_a_file_without_lines_goes_and_one_with_lines_stays(tmp_path: Path) -> None:
    files = opened(tmp_path)
    files.write([view(1)])
    files.close()
    assert files.remove_empty() == (files.output_id, None)
    assert FileStore(tmp_path).get(files.errors_id) is None


def test_a_request_that_can_be_no_task_any_more_has_its_error(tmp_path: Path) -> None:
    files = opened(tmp_path)
    files.refuse(BATCH, 7, "r7", InvalidTask("model: it is gone"))
    files.refuse(BATCH, 7, "r7", TaskState.CANCELLED)
    files.refuse(BATCH, 8, "r8", TaskState.CANCELLED)
    files.close()
    bad, cancelled = lines(tmp_path / files.errors_id)
    assert (bad["response"]["status_code"], bad["response"]["body"]["error"]["param"]) == (400, "model")
    assert cancelled["error"]["code"] == "batch_cancelled"
