"""The Python of the README and of the guide runs, on a stub in place of the servers that it would find."""

import ast
import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from taskfleet import ParallelTaskQueue
from tests.support.modelstub import ModelStub

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/guides/sdk.md")


def blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        found += [
            (page, block)
            for block in re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
        ]
    return found


BLOCKS = blocks()


@pytest.mark.parametrize("number", range(len(BLOCKS)))
async def test_the_block_runs(
    number: int, model: ModelStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reviews.jsonl").write_text('{"text": "fine"}\n')
    page, code = BLOCKS[number]
    code = code.replace("ParallelTaskQueue()", f"ParallelTaskQueue([{model.url!r}])").replace('"smollm2"', '"stub"')
    # A test runs on a loop already, as a notebook does.
    code = code.replace("asyncio.run(main())", "await main()")
    async with ParallelTaskQueue([model.url]) as queue:
        names: dict[str, Any] = {"queue": queue, "rows": [{"text": "fine"}], "ParallelTaskQueue": ParallelTaskQueue}
        result = eval(compile(code, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if asyncio.iscoroutine(result):
            await result
    if "process_dataset" in code:
        assert [task.response for task in names["results"]] == [f"echo: {names['results'][0].response[6:]}"]
    if "print" in code:
        assert "completed echo: Name three colours." in capsys.readouterr().out


def test_every_link_of_the_guide_leads_somewhere() -> None:
    for page in ("docs/guides/sdk.md", "examples/README.md"):
        links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
        assert [link for link in links if "://" not in link and not (ROOT / page).parent.joinpath(link).exists()] == []
