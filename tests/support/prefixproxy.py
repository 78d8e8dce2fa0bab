"""A reverse proxy that shows a server below a path, as an Ingress that rewrites does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

_OF_THE_HOP = {"transfer-encoding", "content-length", "connection", "host"}


@asynccontextmanager
async def below(prefix: str, url: str) -> AsyncIterator[str]:
    """Serve ``url`` below ``prefix``; gives the URL with it. What a stream says comes through piece by piece."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_THE_HOP}
            target = f"{url}{request.raw_path.removeprefix(prefix)}"
            async with session.request(
                request.method, target, headers=headers, data=await request.read(), allow_redirects=False
            ) as answer:
                passed = [(name, each) for name, each in answer.headers.items() if name.lower() not in _OF_THE_HOP]
                response = web.StreamResponse(status=answer.status, headers=passed)
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    await response.write(part)
                return response

        app = web.Application()
        app.router.add_route("*", f"{prefix}/{{rest:.*}}", forward)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
        finally:
            await runner.cleanup()
