"""Tools in a real worker process: tasks with leases, retries and cancellation like any other."""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.taskqueue import TaskQueueSpec
from taskfleet.api.taskreader import TaskReader
from taskfleet.api.toolcalls import ToolArguments
from taskfleet.api.toolsettings import ToolSettings
from taskfleet.core.errors import InputError
from taskfleet.core.outcome import Ok, Outcome
from taskfleet.core.task import TaskState
from taskfleet.providers import Call, open_endpoint
from taskfleet.worker.service import Service
from taskfleet.worker.settings import WorkerSettings
from tests.support.waiting import eventually
from tests.support.work import Work
from tests.support.workerprocess import worker_process
from tests.tools.host import tools_endpoint
from tests.tools.site import ALLOWED, Server
from tests.tools.test_terminal import running

MODELS = [{"name": name} for name in ("inside", "terminal", "file", "chat")]
POLICY: dict[str, Any] = {"models": MODELS, "leaseDuration": "1500ms", "taskTimeout": "20s"}
READER = TaskReader(TaskQueueSpec.model_validate({"models": MODELS}))
needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed: no sandbox here")


def endpoint(folder: Path, **fields: Any) -> Endpoint:
    settings = {"network": {"allowedNetworks": [f"{ALLOWED}/32"]}, "file": {"root": str(folder)}}
    wire = tools_endpoint("inside", "terminal", "file", **settings).to_wire()
    return Endpoint.model_validate(wire | {"remoteNames": {"inside": "http"}} | fields)


@asynccontextmanager
async def working(work: Work, store_url: str, folder: Path) -> AsyncIterator[None]:
    """A whole worker, in this process."""
    settings = WorkerSettings(store_url, work.queue, "pool", endpoint(folder), "me", None, 5.0)
    stop, hurry = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(Service(settings, stop, hurry).run())
    try:
        yield
    finally:
        stop.set()
        hurry.set()
        await running


async def call(work: Work, tool: str, **arguments: Any) -> str:
    task = READER.build({"tool": tool, "arguments": arguments})
    await work.store.submit(work.queue, [task])
    return task.id


async def test_a_worker_runs_tools_and_a_tools_own_failure_stops_nothing(
    work: Work, store_url: str, site: Server, tmp_path: Path
) -> None:
    await work.open(**POLICY)
    asked = READER.build({"model": "terminal", "prompt": "rm -rf /"})
    await work.store.submit(work.queue, [asked])
    fails = [
        await call(work, "inside", url="http://10.0.0.1/"),
        await call(work, "inside", url="no address"),
        await call(work, "file", action="read", path="../x"),
    ]
    works = [await call(work, "inside", url=site.url("/about")) for _ in range(5)]
    works.append(await call(work, "file", action="write", path="a", text="x"))
    async with working(work, store_url, tmp_path):
        failed, done = await work.finished(fails), await work.finished(works)
        (prompted,) = await work.finished([asked.id])
    assert [view.error and view.error.code for view in failed] == ["address_refused", "bad_arguments", "bad_path"]
    assert [view.attempts for view in failed] == [1, 1, 1]
    assert {view.state for view in done} == {TaskState.COMPLETED}
    assert done[0].output["status"] == 200  # type: ignore[index]  # a mapping
    assert (done[0].endpoint, done[0].model) == ("tools", "inside")
    assert prompted.error is not None
    assert prompted.error.message == "terminal is a tool: give tool and arguments in place of a prompt"


async def test_a_folder_that_is_missing_hands_the_task_back_until_it_is_there(
    work: Work, store_url: str, tmp_path: Path
) -> None:
    await work.open(**POLICY)
    task = await call(work, "file", action="list", path=".")

    async def handed_back() -> bool:
        (view,) = await work.views([task])
        return bool(view.history)

    async with working(work, store_url, tmp_path / "mounted"):
        await eventually(handed_back, "the task to be handed back")
        (tmp_path / "mounted").mkdir()
        (view,) = await work.finished([task])
    assert (view.state, view.attempts) == (TaskState.COMPLETED, 1)


@needs_sandbox
async def test_cancelling_a_task_kills_its_command(work: Work, store_url: str, tmp_path: Path) -> None:
    await work.open(**POLICY)
    task = await call(work, "terminal", command="sleep 4721")
    async with working(work, store_url, tmp_path):
        await eventually(lambda: running("sleep\0004721"), "the command to run")
        await work.store.cancel(work.queue, [task])
        await eventually(lambda: not running("sleep\0004721"), "the command of the cancelled task to end")
        (view,) = await work.finished([task])
    assert view.state is TaskState.CANCELLED


@needs_sandbox
async def test_the_death_of_a_worker_kills_its_commands(work: Work, store_url: str, tmp_path: Path) -> None:
    await work.open(**POLICY)
    await call(work, "terminal", command="sleep 4722")
    own = endpoint(tmp_path).to_wire()
    with worker_process(store_url, work.queue, "", endpoint={"url": None, **own}) as worker:
        await eventually(lambda: running("sleep\0004722"), "the command to run", timeout=25.0)
        os.kill(worker.pid, signal.SIGKILL)
        await eventually(lambda: not running("sleep\0004722"), "the command of the dead worker to end")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"remoteNames": {"inside": "htp"}},
            "there is no tool 'htp' on this worker; it has http, web, headless-browser",
        ),
        ({"tools": {}}, "tools.file.root: the tool file needs it; set the folder under which its paths are"),
        ({"tools": {"network": {"allowedNetworks": ["1::2::/7"]}}}, "tools.network: '1::2::/7' does not appear to be"),
    ],
)
def test_a_worker_that_cannot_have_its_tools_says_why(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        open_endpoint(endpoint(tmp_path, **fields))


class Shout(ToolArguments):
    """Arguments of a tool of another package."""

    word: str


class Shouting:
    arguments = Shout

    @staticmethod
    def open(_: ToolSettings) -> "Shouting":
        return Shouting()

    async def run(self, arguments: Shout) -> Outcome:
        return Ok({"said": arguments.word.upper()} if arguments.word != "thing" else {"said": object()})

    async def close(self) -> None:
        """Nothing to close."""


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package beside us that offers a tool, and one that is broken."""
    about = tmp_path / "shouting-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n")
    ours = "shout = tests.tools.test_worker:Shouting\nbroken = no_such_module:Tool\n"
    (about / "entry_points.txt").write_text(f"[taskfleet.tools]\n{ours}")
    monkeypatch.syspath_prepend(str(tmp_path))


async def test_a_package_may_add_a_tool(offered: None) -> None:
    provider = open_endpoint(tools_endpoint("shout"))
    outcomes = [
        await provider.complete(Call("shout", (), 5.0, arguments=arguments))
        for arguments in ({"word": "hi"}, {"word": "thing"}, {"words": "hi"})
    ]
    await provider.close()
    assert outcomes[0] == Ok({"said": "HI"})
    assert [each.error.code for each in outcomes[1:]] == ["bad_result", "bad_arguments"]
    with pytest.raises(
        InputError, match="the tool broken of no_such_module:Tool cannot be loaded: ModuleNotFoundError"
    ):
        open_endpoint(tools_endpoint("broken"))
