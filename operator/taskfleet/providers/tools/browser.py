"""The tool ``headless-browser``: a page as a person would see it, told as text, title, links and perhaps a picture."""

import asyncio
import base64
import contextlib
import re
import time
from collections.abc import Mapping
from typing import Any

from yarl import URL

from taskfleet.api.toolcalls import BrowserArguments
from taskfleet.api.toolsettings import ToolSettings
from taskfleet.core.outcome import EndpointDown, Ok, Outcome, Retry
from taskfleet.core.task import TaskError
from taskfleet.providers.tools.chromium import BrowserBroken, Chromium, NoBrowser
from taskfleet.providers.tools.dialer import Dialer
from taskfleet.providers.tools.tool import failed

MAX_PICTURE_BYTES = 2**19
_QUALITIES = (75, 40, 15)
_LINK_CHARS, _REFUSED_SHOWN = 2048, 20
_TRIES = 5
# The second is what the error page of the first does to whoever tries again at once.
_NETWORK_CHANGED = ("ERR_NETWORK_CHANGED", 'interrupted by another navigation to "chrome-error://')
_TEXT = "most => document.body ? document.body.innerText.slice(0, most + 1) : ''"
_LINKS = """most => Array.from(document.querySelectorAll('a[href]')).slice(0, 5 * most).map(
    link => ({url: String(link.href), text: String(link.innerText || '').trim().slice(0, 200)}))"""
_CAUSE = re.compile(r"net::ERR_([A-Z0-9_]+)")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class BrowserTool:
    """One browser; a clean context for each call, without anything of the calls before."""

    def __init__(self, settings: ToolSettings) -> None:
        self._chromium = Chromium(settings.headless_browser.path, Dialer(settings.network))

    async def run(self, arguments: BrowserArguments) -> Outcome:
        try:
            page = await self._chromium.page()
        except NoBrowser as why:
            return failed("no_browser", str(why))
        except BrowserBroken as why:
            return EndpointDown(TaskError("browser_broken", str(why)), reached=False)
        try:
            return await self._visited(page, arguments)
        finally:
            await self._chromium.discard(page)

    async def close(self) -> None:
        await self._chromium.close()

    async def _visited(self, page: Any, arguments: BrowserArguments) -> Outcome:
        from playwright.async_api import Error

        visit = _Visit(self._chromium, arguments)
        try:
            async with asyncio.timeout(arguments.timeout):
                await visit.open(page)
        except TimeoutError:
            visit.error = TaskError("timeout", f"the page had not loaded within {arguments.timeout:g} s")
        except Error as error:
            if refusal := visit.refusal():
                return failed("address_refused", refusal)
            if visit.crashed or "has been closed" in error.message or "Target crashed" in error.message:
                return Retry(TaskError("browser_crashed", "the browser or its page died over this page"))
            visit.error = visit.trouble(error.message)
        if visit.error is not None and arguments.on_failure == "retry":
            return Retry(TaskError(f"page_{visit.error.code}", visit.error.message))
        return Ok(visit.told())


class _Visit:
    """One page on its way. ``crashed``: it took its process with it."""

    def __init__(self, chromium: Chromium, arguments: BrowserArguments) -> None:
        self.error: TaskError | None = None
        self.crashed = False
        self._chromium = chromium
        self._arguments = arguments
        self._began = time.monotonic()
        self._asked = arguments.url
        self._refused: dict[str, str] = {}
        self._seen: dict[str, Any] = {}

    async def open(self, page: Any) -> None:
        """Raises playwright's Error."""
        arguments = self._arguments
        page.context.on("page", _shut)  # a page opens no others
        page.on("request", self._requested)
        page.on("requestfailed", self._failed)
        page.on("crash", lambda _page: setattr(self, "crashed", True))
        response = await _gone_to(page, arguments.url)
        self._seen["status"] = response.status if response else None
        text = str(await page.evaluate(_TEXT, arguments.max_text_chars))
        self._seen |= {
            "url": page.url,
            "title": str(await page.title())[:_LINK_CHARS],
            "text": text[: arguments.max_text_chars],
            "text_truncated": len(text) > arguments.max_text_chars,
            "links": _links(await page.evaluate(_LINKS, arguments.max_links), arguments.max_links),
        }
        if arguments.screenshot:
            self._seen["screenshot"] = await _picture(page)

    def told(self) -> Mapping[str, Any]:
        error = self.error
        status = self._seen.get("status")
        return {
            "ok": error is None and status is not None and status < 400,
            "status": None,
            "url": self._asked,
            "title": None,
            "text": None,
            "text_truncated": False,
            "links": [],
            "screenshot": None,
            **self._seen,
            "refused": [{"url": url, "reason": why} for url, why in self._refused.items()],
            "seconds": round(time.monotonic() - self._began, 3),
            "error": error and {"code": error.code, "message": error.message},
        }

    def refusal(self) -> str | None:
        """Why the page itself may not be opened, if that is why it failed."""
        return self._chromium.why_refused(*_place(self._asked))

    def trouble(self, message: str) -> TaskError:
        """What the browser says of a page that did not load, in our words where the proxy knows better."""
        found = _CAUSE.search(message)
        cause = found[1].lower() if found else "not_loaded"
        if why := self._chromium.why_unreachable(*_place(self._asked)):
            return TaskError("unreachable", why)
        code = "tls_untrusted" if cause.startswith("cert_") else cause
        return TaskError(code, message.splitlines()[0].removeprefix("Page.goto: ")[:500])

    def _requested(self, request: Any) -> None:
        if request.is_navigation_request() and request.frame.parent_frame is None:
            self._asked = request.url

    def _failed(self, request: Any) -> None:
        why = self._chromium.why_refused(*_place(request.url))
        if why and len(self._refused) < _REFUSED_SHOWN:
            self._refused[request.url[:_LINK_CHARS]] = why


async def _gone_to(page: Any, url: str) -> Any:
    """The page's own answer. Raises playwright's Error."""
    from playwright.async_api import Error

    for left in reversed(range(_TRIES)):
        try:
            return await page.goto(url, wait_until="load", timeout=0)  # the time is bounded outside
        except Error as error:
            # A network interface came or went on this machine; Chromium then lets go of all that is on its way.
            if not left or not any(words in error.message for words in _NETWORK_CHANGED):
                raise
    raise AssertionError("one of the tries returns or raises")


async def _shut(page: Any) -> None:
    from playwright.async_api import Error

    with contextlib.suppress(Error):  # it may have shut itself
        await page.close()


def _place(url: str) -> tuple[str, int]:
    try:
        found = URL(url)
    except ValueError:
        return "", 0
    return found.raw_host or "", found.port or _DEFAULT_PORTS.get(found.scheme, 0)


def _links(found: Any, most: int) -> list[dict[str, str]]:
    """Each address once; the page's own scripts had their hands in it, so nothing is taken for granted."""
    links: dict[str, str] = {}
    for each in found if isinstance(found, list) else ():
        url, text = (each.get("url"), each.get("text")) if isinstance(each, dict) else (None, None)
        if isinstance(url, str) and url.startswith(("http://", "https://")) and len(url) <= _LINK_CHARS:
            links.setdefault(url, text[:200] if isinstance(text, str) else "")
    return [{"url": url, "text": text} for url, text in list(links.items())[:most]]


async def _picture(page: Any) -> dict[str, Any]:
    """What is seen first, in the best quality that is small enough."""
    data = b""
    for quality in _QUALITIES:
        data = await page.screenshot(type="jpeg", quality=quality)
        if len(data) <= MAX_PICTURE_BYTES:
            return {"type": "image/jpeg", "base64": base64.b64encode(data).decode()}
    return {"type": "image/jpeg", "base64": None, "bytes": len(data)}
