"""The files of the console, as the gateway serves them: and the policy under which nothing else runs."""

import re
from dataclasses import replace
from pathlib import Path

import httpx

from taskfleet.gateway import console
from taskfleet.gateway.service import GatewayOptions, gateway
from tests.console.conftest import House

FILES = Path(console.__file__).parent / "static"


def names() -> list[str]:
    return ["" if file.name == "index.html" else file.name for file in FILES.iterdir()]


async def test_every_file_comes_with_a_policy_that_lets_only_files_of_the_console_run(house: House) -> None:
    async with httpx.AsyncClient(base_url=house.locked) as http:
        for name in names():
            answer = await http.get(f"/console/{name}")
            assert answer.status_code == 200, name
            policy = answer.headers["content-security-policy"].split("; ")
            assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= {
                *policy
            }
            assert "unsafe" not in " ".join(policy)
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"


async def test_what_a_browser_has_already_is_not_sent_again(house: House) -> None:
    async with httpx.AsyncClient(base_url=house.url) as http:
        first = await http.get("/console/app.js")
        again = await http.get("/console/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["content-type"].startswith("text/javascript")


async def test_the_folder_is_found_below_any_path(house: House) -> None:
    async with httpx.AsyncClient(base_url=house.url) as http:
        answer = await http.get("/console")
    assert (answer.status_code, answer.headers["location"]) == (308, "console/")


async def test_it_can_be_switched_off(house: House, tmp_path: Path) -> None:
    options = GatewayOptions(house.store_url, "127.0.0.1", 0, "--port", "test", None, None, tmp_path / "files", 1)
    async with gateway(replace(options, console=False)) as off, httpx.AsyncClient(base_url=off.url) as http:
        assert [(await http.get(path)).status_code for path in ("/console", "/console/", "/v1/queues")] == [
            404,
            404,
            200,
        ]


def test_nothing_is_written_into_the_page_or_comes_from_elsewhere() -> None:
    for file in FILES.iterdir():
        text = file.read_text()
        assert not re.search(r"<style|\sstyle=|\son\w+=\"|javascript:|<script(?![^>]*\bsrc=)", text), file.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            file.name
        )
        for address in re.findall(r"(?:src|href)=\"([^\"]*)\"|from \"([^\"]*)\"|url\(([^)]*)\)", text):
            assert not re.match(r"/|\w+:", "".join(address)), (file.name, address)


def test_the_page_asks_for_all_its_modules_at_once() -> None:
    page = (FILES / "index.html").read_text()
    assert {file.name for file in FILES.glob("*.js")} == {*re.findall(r"\"([a-z]+\.js)\"", page)}
