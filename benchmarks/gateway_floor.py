"""What no gateway in Python undercuts: Starlette and aiohttp that parse a request, pass it on, and parse the answer.

``python -m benchmarks.gateway_floor PORT URL``: no keys, no queue, no limits, no metrics.
"""

import contextlib
import sys
from collections.abc import AsyncIterator

import aiohttp
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_JSON = {"Content-Type": "application/json"}


def build(url: str) -> Starlette:
    @contextlib.asynccontextmanager
    async def client(app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            app.state.session = session
            yield

    async def chat(request: Request) -> Response:
        body = orjson.dumps(orjson.loads(await request.body()))
        async with request.app.state.session.post(f"{url}/chat/completions", data=body, headers=_JSON) as answer:
            found = orjson.loads(await answer.read())
        return Response(orjson.dumps(found), answer.status, media_type="application/json")

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])], lifespan=client)


if __name__ == "__main__":
    uvicorn.run(build(sys.argv[2]), port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="error")
