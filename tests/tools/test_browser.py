"""The tool headless-browser with a real Chromium: what it tells of a page, and where pages do not get to."""

import base64
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from taskfleet.core.outcome import EndpointDown, Fatal, Ok, Outcome, Retry
from tests.support.browsers import browsers_below, drivers_below, needs_browser
from tests.support.waiting import wait_until
from tests.tools.conftest import Names
from tests.tools.host import ToolHost, tools_endpoint
from tests.tools.site import ALLOWED, FORBIDDEN, Server

TOOL = "headless-browser"
pytestmark = needs_browser


def test_a_page_is_told_with_title_text_links_and_picture(host: ToolHost, site: Server) -> None:
    told = host.result(TOOL, url=site.url("/"), screenshot=True)
    assert (told["ok"], told["status"], told["title"], told["error"]) == (True, 200, "The site", None)
    assert told["text"].startswith("Grüße")
    assert told["links"] == [{"url": site.url("/about"), "text": "About us"}]
    assert told["screenshot"]["type"] == "image/jpeg"
    assert base64.b64decode(told["screenshot"]["base64"]).startswith(b"\xff\xd8")


def test_what_a_script_draws_is_seen(host: ToolHost, site: Server) -> None:
    told = host.result(TOOL, url=site.url("/script"), max_text_chars=3)
    assert (told["title"], told["text"], told["text_truncated"]) == ("made by script", "dra", True)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/status?code=404", {"ok": False, "status": 404, "text": "as you wish", "error": None}),
        ("/redirect?to=/about", {"ok": True, "title": "About"}),
        ("/alert", {"ok": True, "title": "alert", "text": "after"}),
        ("/half", {"ok": True, "title": "a?b"}),
    ],
)
def test_a_page_is_told_as_it_is(host: ToolHost, site: Server, path: str, expected: dict[str, object]) -> None:
    told = host.result(TOOL, url=site.url(path))
    assert {name: told[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("url", "seconds", "code"),
    [
        ("{site}/slow", 0.5, "timeout"),
        ("{site}/busy", 1.0, "timeout"),
        ("{site}/loop", 20.0, "too_many_redirects"),
        ("{site}/redirect?to=file:///etc/passwd", 20.0, "unsafe_redirect"),
        ("http://no-such-name.invalid/", 20.0, "unreachable"),
        ("http://127.0.0.1:1024/", 20.0, "unreachable"),
    ],
)
def test_a_page_that_does_not_load_is_a_result(
    host: ToolHost, site: Server, url: str, seconds: float, code: str
) -> None:
    told = host.result(TOOL, url=url.format(site=site.url("").rstrip("/")), timeout=seconds)
    assert (told["ok"], told["error"]["code"]) == (False, code)


def test_a_certificate_that_is_not_trusted_is_a_result_or_a_reason_to_try_again(
    host: ToolHost, tls_sites: dict[str, Server]
) -> None:
    url = tls_sites["self-made"].url("/about")
    assert host.result(TOOL, url=url)["error"]["code"] == "tls_untrusted"
    outcome = host.call(TOOL, url=url, on_failure="retry")
    assert isinstance(outcome, Retry)
    assert outcome.error.code == "page_tls_untrusted"


def test_nothing_of_one_page_is_left_for_the_next(host: ToolHost, site: Server) -> None:
    """The site sets a cookie on each of its pages."""
    host.result(TOOL, url=site.url("/about"))
    assert "who=me" not in host.result(TOOL, url=site.url("/echo"))["text"]


@pytest.mark.parametrize(
    "url",
    [
        "http://{forbidden}:{port}/top",
        "http://2130706434:{port}/number",
        "http://0x7f.2:{port}/hex",
        "http://[::ffff:{forbidden}]:{port}/mapped",
        "http://inside.test:{port}/name",
        "http://169.254.169.254/latest/meta-data/",
        "{site}/redirect?to=http://{forbidden}:{port}/redirect",
        "{site}/redirect?to=http://inside.test:{port}/redirect",
    ],
)
def test_a_page_at_an_address_that_is_not_allowed_is_refused(
    host: ToolHost, site: Server, forbidden: Server, url: str
) -> None:
    asked = url.format(site=site.url("").rstrip("/"), forbidden=FORBIDDEN, port=forbidden.port)
    assert host.refused(TOOL, url=asked) == "address_refused"
    assert forbidden.seen == []


EVERY_WAY = """<title>every way</title><body>
<img src="{to}/img"><script src="{to}/script"></script><link rel=stylesheet href="{to}/css">
<link rel=prefetch href="{to}/prefetch"><link rel=preload as=image href="{to}/preload">
<iframe src="{to}/frame"></iframe><object data="{to}/object"></object><embed src="{to}/embed">
<video src="{to}/video"></video><audio src="{to}/audio"></audio>
<iframe name=inner></iframe><form action="{to}/form" method=post target=inner></form>
<iframe srcdoc="<meta http-equiv=refresh content='0;url={to}/refresh'>"></iframe>
<img src="{site}/slow">
<script>
document.forms[0].submit();
const ended = (it, event) => new Promise(done => it["on" + event] = done);
const request = new XMLHttpRequest(); request.open("GET", "{to}/xhr"); request.send();
navigator.sendBeacon("{to}/beacon", "x");
Promise.allSettled([
  fetch("{to}/fetch", {{mode: "no-cors"}}), import("{to}/module"), new FontFace("a", "url({to}/font)").load(),
  ended(request, "loadend"), ended(new EventSource("{to}/events"), "error"),
  ended(new WebSocket("{to}/socket".replace("http", "ws")), "close"),
  ended(new Worker(URL.createObjectURL(new Blob([
    "fetch('{to}/worker', {{mode: 'no-cors'}}).catch(() => 0).then(() => postMessage('done'))"]))), "message"),
]).then(() => fetch("{site}/done-{port}"));
window.open("{to}/popup");
for (const url of ["file:///etc/passwd", "view-source:{to}/", "chrome://version"]) {{
  const frame = document.createElement("iframe"); frame.src = url; document.body.append(frame);
}}
try {{ new RTCPeerConnection({{iceServers: [{{urls: "stun:{host}:{port}"}}]}}).createDataChannel("x"); }} catch (e) {{}}
</script>"""
WAYS = (
    *("img", "script", "css", "prefetch", "frame", "object", "embed", "video", "form", "refresh", "fetch", "beacon"),
    *("xhr", "events", "socket", "worker", "module", "font"),
)


def try_every_way(host: ToolHost, site: Server, to: Server) -> Mapping[str, Any]:
    """What is told of a page that tries them all and has loaded when the last has ended."""
    html = EVERY_WAY.format(to=to.url("").rstrip("/"), site=site.url("").rstrip("/"), host=to.address, port=to.port)
    done = f"/done-{to.port}"
    before = site.seen.count(done)
    visit = host.begin(TOOL, url=site.url(f"/page?html={quote(html)}"), timeout=60)
    wait_until(lambda: site.seen.count(done) > before or visit.done(), "every way to be tried", timeout=60.0)
    site.let_go.set()
    outcome = visit.result(60)
    site.let_go.clear()
    assert isinstance(outcome, Ok), outcome
    assert isinstance(outcome.output, Mapping)
    return outcome.output


@pytest.fixture(scope="module")
def tried(host: ToolHost, site: Server, forbidden: Server) -> Iterator[set[str]]:
    """What a page with every way out got from a server that it may reach, as proof that each is one."""
    before = len(site.seen)
    for _ in range(3):  # a browser lets go of what is on its way when the machine's network changes
        try_every_way(host, site, site)
        if {f"/{way}" for way in WAYS} <= set(site.seen[before:]):
            break
    assert try_every_way(host, site, forbidden)["refused"]
    yield set(site.seen[before:])


@pytest.mark.parametrize("way", WAYS)
def test_nothing_in_a_page_gets_to_an_address_that_is_not_allowed(tried: set[str], forbidden: Server, way: str) -> None:
    assert f"/{way}" in tried
    assert f"/{way}" not in forbidden.seen


def test_no_way_at_all_led_there(tried: set[str], forbidden: Server) -> None:
    assert forbidden.seen == []


def test_a_name_that_means_another_address_later_gains_nothing(
    host: ToolHost, site: Server, forbidden: Server, names: Names
) -> None:
    names.turns["turns.test"] = [ALLOWED, *[FORBIDDEN] * 20]
    html = quote(f"<body>x<img src='http://turns.test:{forbidden.port}/img'>")
    told = host.result(TOOL, url=site.url(f"/page?html={html}", host="turns.test"))
    assert told["text"] == "x"
    assert len(names.turns["turns.test"]) < 20
    assert forbidden.seen == []


def test_a_call_that_is_cancelled_closes_its_page_and_the_browser_goes_on(host: ToolHost, site: Server) -> None:
    running = host.begin(TOOL, url=site.url("/slow?cancelled"))
    before = site.seen.count("/slow")
    wait_until(lambda: site.seen.count("/slow") > before or running.done(), "the page to be asked for")
    running.cancel()
    assert host.result(TOOL, url=site.url("/about"))["title"] == "About"


def test_after_a_browser_that_died_there_is_another(host: ToolHost, site: Server) -> None:
    host.result(TOOL, url=site.url("/about"))
    ours = list(browsers_below(os.getpid()))
    assert ours
    for process in ours:
        os.kill(process, 9)

    def again() -> Outcome | None:
        outcome = host.call(TOOL, url=site.url("/about"))
        return outcome if isinstance(outcome, Ok) else None

    assert wait_until(again, "a page of the new browser", timeout=25.0)


def test_a_worker_that_stops_while_its_browser_starts_leaves_no_program_behind() -> None:
    before, bare = set(drivers_below(os.getpid())), ToolHost(tools_endpoint(TOOL))
    bare.begin(TOOL, url="https://example.com/")
    wait_until(lambda: set(drivers_below(os.getpid())) - before, "Playwright's program to start", timeout=25.0)
    bare.close()
    assert not set(drivers_below(os.getpid())) - before


def test_without_a_browser_it_is_said_what_to_install(tmp_path: Path) -> None:
    bare = ToolHost(tools_endpoint(TOOL, headlessBrowser={"path": f"/{tmp_path.name}/chromium"}))
    try:
        outcome = bare.call(TOOL, url="https://example.com/")
    finally:
        bare.close()
    assert isinstance(outcome, Fatal)
    assert outcome.error.code == "no_browser"
    assert "install Debian's package chromium" in outcome.error.message


def test_a_driver_that_does_not_start_makes_the_endpoint_down_and_not_the_task_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = tmp_path / "node"
    driver.write_text("#!/bin/sh\necho 'libatomic.so.1: cannot open shared object file' >&2\nexit 127\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PLAYWRIGHT_NODEJS_PATH", str(driver))
    bare = ToolHost(tools_endpoint(TOOL))
    try:
        outcome = bare.call(TOOL, url="https://example.com/")
    finally:
        bare.close()
    assert isinstance(outcome, EndpointDown)
    assert outcome.error.message.startswith("Playwright's driver does not start: ")
