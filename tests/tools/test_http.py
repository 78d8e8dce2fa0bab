"""The tool http on a real site: what it tells, what it follows, and where it does not go."""

import json
import socket

import pytest

from taskfleet.core.outcome import Retry
from tests.tools.conftest import Names
from tests.tools.host import ToolHost
from tests.tools.site import ALLOWED, FORBIDDEN, Server


def test_a_page_is_told_with_status_times_headers_and_text(host: ToolHost, site: Server) -> None:
    told = host.result("http", url=site.url("/"))
    assert (told["ok"], told["status"], told["error"], told["tls"]) == (True, 200, None, None)
    assert "Grüße" in told["body"]
    assert told["headers"]["content-type"] == "text/html; charset=utf-8"
    assert set(told["timing"]) == {"dns", "connect", "first_byte", "total"}
    assert 0 <= told["timing"]["connect"] <= told["timing"]["total"]


def test_web_is_another_name_for_it(host: ToolHost, site: Server) -> None:
    assert host.result("web", url=site.url("/about"))["status"] == 200


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/latin", {"body": "Grüße"}),
        ("/odd-charset", {"body": "text"}),
        ("/picture", {"body": None, "ok": True}),
        ("/big", {"body": "x" * 65536, "body_truncated": True}),
        ("/bomb", {"body": "0" * 65536, "body_truncated": True}),
        ("/status?code=404", {"ok": False, "status": 404, "body": "as you wish", "error": None}),
        ("/status?code=503", {"ok": False, "status": 503, "error": None}),
        ("/status?code=201", {"ok": True, "status": 201, "body": "as you wish"}),
    ],
)
def test_an_answer_is_told_as_it_is(host: ToolHost, site: Server, path: str, expected: dict[str, object]) -> None:
    told = host.result("http", url=site.url(path))
    assert {name: told[name] for name in expected} == expected


def test_a_request_has_the_method_headers_and_body_that_were_asked_for(host: ToolHost, site: Server) -> None:
    told = host.result("http", url=site.url("/echo"), method="PUT", headers={"X-Mine": "1"}, body="höhe")
    echoed = json.loads(told["body"])
    assert (echoed["method"], echoed["body"], echoed["headers"]["X-Mine"]) == ("PUT", "höhe", "1")


@pytest.mark.parametrize(
    ("path", "seconds", "code"),
    [
        ("/slow", 0.2, "timeout"),
        ("/cut", 5, "connection_lost"),
        ("/noise", 5, "bad_answer"),
        ("/loop", 5, "too_many_redirects"),
        ("/redirect?to=file:///etc/passwd", 5, "bad_redirect"),
        ("/redirect?to=ftp://site.test/", 5, "bad_redirect"),
        ("/redirect?to=http://:80/", 5, "bad_redirect"),
    ],
)
def test_that_no_good_answer_came_is_a_result(
    host: ToolHost, site: Server, path: str, seconds: float, code: str
) -> None:
    told = host.result("http", url=site.url(path), timeout=seconds)
    assert (told["ok"], told["error"]["code"]) == (False, code)


def test_a_dead_link_is_a_result_or_a_reason_to_try_again(host: ToolHost) -> None:
    with socket.socket() as unused:
        unused.bind((ALLOWED, 0))
        url = f"http://{ALLOWED}:{unused.getsockname()[1]}/"
        assert host.result("http", url=url)["error"]["code"] == "connection_refused"
        outcome = host.call("http", url=url, on_failure="retry")
    assert isinstance(outcome, Retry)
    assert outcome.error.code == "http_connection_refused"
    assert host.result("http", url="http://no-such-name.invalid/")["error"]["code"] == "dns_failure"


def test_redirects_are_followed_and_told(host: ToolHost, site: Server) -> None:
    last = site.url("/about", host="site.test")
    told = host.result("http", url=site.url(f"/redirect?to={last}"))
    assert (told["url"], told["redirects"]) == (last, [{"status": 302, "url": last}])
    first = host.result("http", url=site.url("/redirect?to=/about"), max_redirects=0)
    assert (first["status"], first["headers"]["location"], first["redirects"]) == (302, "/about", [])


def test_a_redirect_takes_no_secret_to_another_server(host: ToolHost, site: Server) -> None:
    other = site.url("/echo", host="site.test")
    headers = {"Authorization": "Bearer x", "Cookie": "a=b", "X-Mine": "1"}
    same = host.result("http", url=site.url("/redirect?to=/echo"), headers=headers)
    moved = host.result("http", url=site.url(f"/redirect?to={other}"), headers=headers)
    assert {"Authorization", "Cookie", "X-Mine"} <= json.loads(same["body"])["headers"].keys()
    assert json.loads(moved["body"])["headers"].keys() & {"Authorization", "Cookie", "X-Mine"} == {"X-Mine"}


@pytest.mark.parametrize(("status", "method", "body"), [(302, "GET", ""), (303, "GET", ""), (307, "POST", "data")])
def test_a_redirected_post_stays_one_only_where_the_status_says_so(
    host: ToolHost, site: Server, status: int, method: str, body: str
) -> None:
    url = site.url(f"/redirect?status={status}&to=/echo")
    echoed = json.loads(host.result("http", url=url, method="POST", body="data")["body"])
    assert (echoed["method"], echoed["body"]) == (method, body)


def test_a_good_certificate_is_told_with_its_days(host: ToolHost, tls_sites: dict[str, Server]) -> None:
    told = host.result("http", url=tls_sites["good"].url("/about"))
    assert (told["ok"], told["tls"]["valid"], told["tls"]["subject"]) == (True, True, "The site")
    assert told["tls"]["days_left"] > 0
    assert told["tls"]["not_after"].endswith("Z")
    assert set(told["tls"]["names"]) == {ALLOWED, "site.test"}
    assert told["timing"]["tls"] > 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("expired", "certificate has expired"),
        ("other-host", f"IP address mismatch, certificate is not valid for '{ALLOWED}'."),
        ("self-made", "unable to get local issuer certificate"),
    ],
)
def test_a_broken_certificate_is_a_result_that_says_why(
    host: ToolHost, tls_sites: dict[str, Server], name: str, reason: str
) -> None:
    told = host.result("http", url=tls_sites[name].url("/about"))
    assert (told["ok"], told["status"], told["error"]["code"]) == (False, None, "tls_untrusted")
    assert (told["tls"]["valid"], told["tls"]["reason"]) == (False, reason)
    assert told["tls"]["not_after"].endswith("Z")
    assert tls_sites[name].seen == []


def test_a_server_without_tls_is_no_crash(host: ToolHost, site: Server) -> None:
    url = site.url("/").replace("http://", "https://")
    assert host.result("http", url=url, timeout=5)["error"]["code"] == "tls_failure"


ESCAPES = {
    "by its address": "http://{forbidden}:{port}/direct",
    "in hexadecimal": "http://0x7f000002:{port}/hex",
    "as one number": "http://2130706434:{port}/number",
    "in octal": "http://0177.0.0.2:{port}/octal",
    "cut short": "http://127.2:{port}/short",
    "as IPv6": "http://[::ffff:{forbidden}]:{port}/mapped",
    "as IPv6 in hexadecimal": "http://[::ffff:7f00:2]:{port}/hexmapped",
    "in other digits": "http://①②⑦.⓪.⓪.②:{port}/digits",
    "with other dots": "http://127。0。0。2:{port}/dots",
    "as zero": "http://0:{port}/zero",
    "by a name": "http://inside.test:{port}/name",
    "as any address": "http://0.0.0.0:{port}/any",
    "cloud metadata": "http://169.254.169.254/latest/meta-data/",
    "metadata by IPv6": "http://[fd00:ec2::254]/latest/meta-data/",
    "metadata of another cloud": "http://100.100.100.200/latest/",
    "a cloud's agent": "http://168.63.129.16/machine",
    "a private network": "http://10.0.0.1/",
    "through NAT64": "http://[64:ff9b::7f00:2]:{port}/",
    "by a redirect": "{site}/redirect?to=http://{forbidden}:{port}/redirect",
    "by a redirect to a name": "{site}/redirect?to=http://inside.test:{port}/redirect",
    "by two redirects": "{site}/redirect?to=/redirect%3Fto%3Dhttp://{forbidden}:{port}/twice",
    "by a redirect to a number": "{site}/redirect?to=http://2130706434:{port}/number",
    "by a redirect without scheme": "{site}/redirect?to=//{forbidden}:{port}/scheme",
}


@pytest.mark.parametrize("how", ESCAPES)
def test_http_does_not_get_to_an_address_that_is_not_allowed(
    host: ToolHost, site: Server, forbidden: Server, how: str
) -> None:
    url = ESCAPES[how].format(forbidden=FORBIDDEN, port=forbidden.port, site=site.url("").rstrip("/"))
    before = len(forbidden.seen)
    assert host.refused("http", url=url, timeout=5) == "address_refused"
    assert len(forbidden.seen) == before


def test_a_name_is_resolved_once_so_that_rebinding_gains_nothing(
    host: ToolHost, site: Server, forbidden: Server, names: Names
) -> None:
    names.turns["rebinds.test"] = [ALLOWED, FORBIDDEN]
    before = len(forbidden.seen)
    assert host.result("http", url=site.url("/about", host="rebinds.test"))["status"] == 200
    assert names.turns["rebinds.test"] == [FORBIDDEN]
    assert host.refused("http", url=site.url("/about", host="rebinds.test")) == "address_refused"
    assert len(forbidden.seen) == before


def test_of_several_addresses_only_those_allowed_are_tried(host: ToolHost, site: Server) -> None:
    assert host.result("http", url=site.url("/about", host="both.test"))["status"] == 200


def test_a_call_that_is_cancelled_hangs_up(host: ToolHost, site: Server) -> None:
    running = host.begin("http", url=site.url("/slow"))
    running.cancel()
    assert host.result("http", url=site.url("/about"))["ok"]
