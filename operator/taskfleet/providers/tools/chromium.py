"""The browser of ``headless-browser``: one Chromium, and for each call a page in a clean context; one is made ahead."""

import asyncio
import logging
import os
import shutil
import tempfile
from typing import Any

from taskfleet.providers.tools.dialer import Dialer
from taskfleet.providers.tools.socks import CheckedProxy

log = logging.getLogger(__name__)

START_SECONDS = 60.0
PAGE_SECONDS = 15.0
CLOSE_SECONDS = 5.0
# The first starts soonest; Debian has it in a package of its own.
_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_VIEWPORT = {"width": 1280, "height": 720}


class NoBrowser(Exception):
    """There is none on this machine; the sentence says what to install."""


class BrowserBroken(Exception):
    """It is installed and does not start."""


class Chromium:
    """Started with the first page, and again after it died."""

    def __init__(self, path: str | None, dialer: Dialer) -> None:
        self._path = path
        self._proxy = CheckedProxy(dialer)
        self._start: asyncio.Task[None] | None = None
        self._port = 0
        self._driver: asyncio.Task[Any] | None = None  # Playwright's own program, once it has started
        self._browser: Any = None
        self._spare: asyncio.Task[Any] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def why_refused(self, host: str, port: int) -> str | None:
        """Why the rules of addresses did not let a page go there, if they did not."""
        return self._proxy.refusals.get((host, port))

    def why_unreachable(self, host: str, port: int) -> str | None:
        return self._proxy.troubles.get((host, port))

    async def page(self) -> Any:
        """A page in a context that was never used. Raises NoBrowser or BrowserBroken."""
        if self._browser is None or not self._browser.is_connected():
            await self._started()
        ahead, self._spare = self._spare or asyncio.create_task(_page(self._browser)), None
        ahead.add_done_callback(_looked_at)
        try:
            async with asyncio.timeout(PAGE_SECONDS):
                found = await asyncio.shield(ahead)
        except asyncio.CancelledError:
            ahead.add_done_callback(self._unwanted)
            raise
        except Exception as error:
            ahead.add_done_callback(self._unwanted)
            self._browser = None  # one that does not answer is not asked again
            raise BrowserBroken(f"the browser gives no page: {error or 'not in time'}") from error
        if self._spare is None:
            self._spare = asyncio.create_task(_page(self._browser))
            self._spare.add_done_callback(_looked_at)
        return found

    async def discard(self, page: Any) -> None:
        """Close a page with its context, also while the call is being cancelled."""
        closing = asyncio.create_task(_closed(page))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.wait((closing,), timeout=CLOSE_SECONDS)

    async def close(self) -> None:
        for task in (self._start, self._spare):
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        if self._closing:
            await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)
        if self._browser is not None:
            await self._browser.close()
        if self._driver is not None:  # also one that still starts: else its program would be nobody's
            await asyncio.wait((self._driver,))
            if self._driver.exception() is None:
                await self._driver.result().stop()
        await self._proxy.close()

    def _unwanted(self, made: asyncio.Task[Any]) -> None:
        if not made.cancelled() and made.exception() is None:
            closing = asyncio.create_task(_closed(made.result()))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _started(self) -> None:
        """One start for all who wait for it; it goes on when one of them is cancelled."""
        if self._start is None or self._start.done():
            self._start = asyncio.create_task(self._launch())
            self._start.add_done_callback(_looked_at)
        await asyncio.shield(self._start)

    async def _launch(self) -> None:
        try:
            from playwright.async_api import Error, async_playwright
        except ImportError as error:
            raise NoBrowser("Playwright is not installed; install taskfleet[browser] and Debian's chromium") from error
        program = self._path or next(filter(None, map(shutil.which, _PROGRAMS)), None)
        if program is None or not os.access(program, os.X_OK):
            where = f"there is no program {program}" if program else "it is not on the PATH"
            raise NoBrowser(
                f"Chromium is not installed: {where}; install Debian's package chromium, or set "
                "tools.headlessBrowser.path"
            )
        if not self._port:
            self._port = await self._proxy.start()
        if self._driver is None:
            self._driver = asyncio.create_task(async_playwright().start())
        try:
            playwright = await asyncio.shield(self._driver)
        except Exception as error:  # a program of its own, whose end has no kind of error
            self._driver = None
            raise BrowserBroken(f"Playwright's driver does not start: {error}; its words are above") from error
        if self._spare is not None:
            self._spare.cancel()  # of a browser that has died
            self._spare = None
        for sandboxed in (True, False) if os.geteuid() else (False,):
            try:
                self._browser = await playwright.chromium.launch(
                    executable_path=program,
                    args=_arguments(self._port),
                    env=_environment(),
                    chromium_sandbox=sandboxed,
                    timeout=START_SECONDS * 1000,
                    handle_sigterm=False,  # these are the worker's to hear
                    handle_sigint=False,
                    handle_sighup=False,
                )
            except Error as error:
                log.warning("Chromium did not start", extra={"sandbox": sandboxed, "error": str(error)[:2000]})
                trouble = error.message.splitlines()[0]
            else:
                log.info("Chromium is up", extra={"version": self._browser.version, "sandbox": sandboxed})
                return
        raise BrowserBroken(f"{program} does not start: {trouble[:500]}")


def _arguments(proxy: int) -> list[str]:
    return [
        f"--proxy-server=socks5://127.0.0.1:{proxy}",
        "--proxy-bypass-list=<-loopback>",  # not even this machine is reached past the proxy
        "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",  # names are the proxy's to resolve
        "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--js-flags=--max-old-space-size=512",
        "--mute-audio",
    ]


def _environment() -> dict[str, str | float | bool]:
    """Nothing of the worker's own, and a home that may be written to where the file system may not."""
    home = tempfile.gettempdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {**kept, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}


async def _page(browser: Any) -> Any:
    context = await browser.new_context(viewport=_VIEWPORT, accept_downloads=False, service_workers="block")
    return await context.new_page()


async def _closed(page: Any) -> None:
    try:
        await page.context.close()
    except Exception as error:  # the browser died, and the context with it
        log.info("a browser context was gone before it was closed", extra={"error": str(error)[:500]})


def _looked_at(task: asyncio.Task[Any]) -> None:
    """An error of one made ahead is met by whoever takes it; without a taker it is nobody's."""
    if not task.cancelled():
        task.exception()
