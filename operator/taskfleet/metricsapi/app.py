"""The HTTP side: two addresses, answers and refusals in the form of the Kubernetes API."""

import logging
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from taskfleet.core.errors import InputError
from taskfleet.core.names import METRIC_LABEL_POOL, METRIC_NEEDED_WORKERS
from taskfleet.core.wiretime import wire_time
from taskfleet.kube import WORKER_POOLS, KubeClient, KubeError
from taskfleet.metricsapi.gate import FrontProxy, peer_certificate
from taskfleet.metricsapi.metrics import (
    GROUP_VERSION,
    NoValue,
    needed_workers,
    resources,
    selected,
)

log = logging.getLogger(__name__)

ROOT = f"/apis/{GROUP_VERSION}"


def metrics_app(client: KubeClient, proxy: FrontProxy) -> web.Application:
    """Answers from the status of the pools, read when somebody asks: it holds nothing that could be old."""

    @web.middleware
    async def only_the_front_proxy(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not proxy.is_it(peer_certificate(request)):
            return _refusal(403, "Forbidden", "this API is asked through the API server of the cluster")
        return await handler(request)

    async def discovery(_request: web.Request) -> web.Response:
        return web.json_response(resources())

    async def values(request: web.Request) -> web.Response:
        namespace, metric = request.match_info["namespace"], request.match_info["metric"]
        if metric != METRIC_NEEDED_WORKERS:
            return _refusal(404, "NotFound", f"there is no metric {metric}; there is {METRIC_NEEDED_WORKERS}")
        try:
            wanted = selected(request.query.get("labelSelector", ""))
            name = wanted.get(METRIC_LABEL_POOL)
            fields = f"metadata.name={name}" if name else ""
            pools = await client.list(WORKER_POOLS, namespace, fields=fields)
            return web.json_response(needed_workers(pools, wanted, wire_time(time.time())))
        except InputError as error:
            return _refusal(400, "BadRequest", str(error))
        except NoValue as error:
            return _refusal(404, "NotFound", str(error))
        except KubeError as error:
            log.warning("pools cannot be read: %s", error, extra={"namespace": namespace})
            return _refusal(503, "ServiceUnavailable", f"the pools of {namespace} cannot be read: {error}")

    app = web.Application(middlewares=[only_the_front_proxy])
    app.router.add_get(ROOT, discovery)
    app.router.add_get(f"{ROOT}/namespaces/{{namespace}}/{{metric}}", values)
    return app


def _refusal(code: int, reason: str, message: str) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    return web.json_response(status, status=code)
