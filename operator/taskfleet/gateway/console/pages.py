"""The files of ``/console``, under a policy that lets nothing run, load or frame it but what is in this package.

No data is in them: the page asks the API for all that it shows, with the key that it is given.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

# Also what a prompt or an answer contains could not be made to run: no HTML can be written from a text (trusted types).
POLICY = "; ".join(
    (
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        *("require-trusted-types-for 'script'", "trusted-types 'none'"),
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",  # another version is seen at once; what is as it was is not sent again
}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def console_routes() -> Iterator[Route]:
    """Each file under its name, the page itself as the folder. Addresses are relative: it works below any path."""
    yield Route("/console", _to_the_folder)
    for file in files(__package__).joinpath("static").iterdir():
        name = "" if file.name == "index.html" else file.name
        yield Route(f"/console/{name}", _serving(file.read_bytes(), file.name.rpartition(".")[2]))


async def _to_the_folder(_request: Request) -> Response:
    return RedirectResponse("console/", 308)


def _serving(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    mark = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {**HEADERS, "ETag": mark, "Content-Type": _TYPES[kind]}

    async def serve(request: Request) -> Response:
        known = request.headers.get("if-none-match") == mark
        return Response(b"" if known else content, 304 if known else 200, headers)

    return serve
