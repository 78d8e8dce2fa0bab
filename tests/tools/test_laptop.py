"""The sample with `taskfleet up`, and calls of its tools from a file of lines, as the guide has them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.laptop import Laptop
from tests.tools.site import Server

SAMPLE = Path(__file__).parents[2] / "manifests/samples/tools.yaml"


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """The sample as it is, but for what differs on this machine: where the site is, and the folder."""
    folder = tmp_path_factory.mktemp("laptop")
    files = folder / "files"
    files.mkdir()
    queue, pool = yaml.safe_load_all(SAMPLE.read_text())
    web, *_, own = pool["spec"]["endpoints"]
    web["tools"] = {"network": {"allowedNetworks": ["127.0.0.1/32"]}}
    own["tools"]["file"]["root"] = str(files)
    laptop = Laptop(folder)
    laptop.manifests.mkdir()
    (laptop.manifests / "tools.yaml").write_text(yaml.safe_dump_all([queue, pool]))
    laptop.start()
    yield laptop
    laptop.stop()


def test_lines_of_several_tools_are_called_each_on_its_lane(laptop: Laptop, site: Server) -> None:
    lines = [
        {"tool": "http", "arguments": {"url": site.url("/status?code=404")}},
        {"tool": "file", "arguments": {"action": "write", "path": "a.txt", "text": "kept"}},
    ]
    if shutil.which("bwrap"):
        lines.append({"tool": "terminal", "arguments": {"command": "sort -u", "stdin": "b\na\n"}})
    done = laptop.run(
        *("submit", "tools", "-f", "-", "--wait", "-o", "json", "--out", str(laptop.folder / "out.jsonl")),
        stdin=b"\n".join(json.dumps(line).encode() for line in lines),
    )
    assert done.returncode == 0, done.stderr
    outputs = [json.loads(line)["output"] for line in (laptop.folder / "out.jsonl").read_text().splitlines()]
    assert (outputs[0]["status"], outputs[0]["ok"], outputs[1]["bytes"]) == (404, False, 4)
    assert (laptop.folder / "files/a.txt").read_text() == "kept"
    assert [told["stdout"] for told in outputs[2:]] in ([], ["a\nb\n"])
