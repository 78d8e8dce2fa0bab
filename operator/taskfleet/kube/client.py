"""The calls that Taskfleet makes to the API server. Objects go in and out as plain dicts.

The generated methods of the ``kubernetes`` package know hundreds of kinds but not ours, and its dynamic client asks
for the discovery document first; so its transport and login are used, below both.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from taskfleet.core.names import FIELD_MANAGER
from taskfleet.kube.errors import KubeUnauthorized, KubeUnreachable, error_from_response
from taskfleet.kube.login import load_login
from taskfleet.kube.resources import Resource

REQUEST_SECONDS = 15.0
PAGE_OBJECTS = 100
USER_AGENT = "taskfleet-controller"

Object = dict[str, Any]


class KubeClient:
    """Safe to share between tasks of one event loop. Every method raises KubeError.

    ``may_write`` is called before anything is sent that changes something, as late as can be; what it raises is raised.
    """

    def __init__(self, kubeconfig: str | None, may_write: Callable[[], None]) -> None:
        self._kubeconfig = kubeconfig
        self._may_write = may_write
        self._api: Any = None  # an ApiClient; that package has no types
        self._logging_in = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, kubeconfig: str | None = None, may_write: Callable[[], None] = lambda: None
    ) -> "AsyncIterator[KubeClient]":
        """A logged-in client, closed at the end of the block. Raises KubeLoginFailed; asks the server nothing yet."""
        client = cls(kubeconfig, may_write)
        await client._login(None)
        try:
            yield client
        finally:
            await client._close()

    async def apply(self, resource: Resource, manifest: Object, *, subresource: str = "") -> Object:
        """Server-side apply as the one field manager ``taskfleet``: what we say holds, what others say stays."""
        meta = manifest["metadata"]
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = resource.path(meta["namespace"], meta["name"], subresource)
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}
        return await self._request("PATCH", path, query, body, "application/apply-patch+yaml")

    async def json_patch(
        self, resource: Resource, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> Object:
        """RFC 6902: all operations or none; a failed ``test`` raises KubeRefused."""
        query = {"fieldManager": FIELD_MANAGER}
        path = resource.path(namespace, name)
        return await self._request("PATCH", path, query, list(operations), "application/json-patch+json")

    async def create(self, resource: Resource, manifest: Object) -> Object:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}
        return await self._request("POST", resource.path(manifest["metadata"]["namespace"]), {}, body)

    async def replace(self, resource: Resource, manifest: Object) -> Object:
        """The whole object; one that was changed since its ``resourceVersion`` raises KubeConflict."""
        meta = manifest["metadata"]
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}
        return await self._request("PUT", resource.path(meta["namespace"], meta["name"]), {}, body)

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        return await self._request("GET", resource.path(namespace, name), {})

    async def pages(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[list[Object]]:
        """All objects of a kind, in one namespace or (None) in all, whose labels and fields match the selectors.

        Some at a time: a cluster's thousands at once would be the most memory that we ever take.
        """
        selectors = {"labelSelector": labels, "fieldSelector": fields}
        asked = {name: value for name, value in selectors.items() if value} | {"limit": str(PAGE_OBJECTS)}
        more = ""
        while True:
            answer = await self._request("GET", resource.path(namespace), asked | ({"continue": more} if more else {}))
            yield answer["items"]
            more = answer.get("metadata", {}).get("continue", "")
            if not more:
                return

    async def list(
        self, resource: Resource, namespace: str | None, *, labels: str = "", fields: str = ""
    ) -> list[Object]:
        """The same in one list, for what is few."""
        return [obj async for page in self.pages(resource, namespace, labels=labels, fields=fields) for obj in page]

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str) -> None:
        """Delete this very object; another one of the same name raises KubeConflict."""
        body = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._request("DELETE", resource.path(namespace, name), {}, body)

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        api = self._api
        try:
            return await self._send(api, method, path, query, body, content_type)
        except KubeUnauthorized:
            # Tokens rotate and run out: log in again, once; a second refusal is for good.
            await self._login(api)
            return await self._send(self._api, method, path, query, body, content_type)

    async def _send(
        self,
        api: Any,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any,
        content_type: str,
    ) -> Object:
        what = f"{method} {path}"
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": USER_AGENT}
        await api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = f"{api.configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        if method != "GET":
            self._may_write()
        try:
            response = await api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=aiohttp.ClientTimeout(REQUEST_SECONDS)
            )
            content: bytes = await response.read()
        except TimeoutError as error:
            raise KubeUnreachable(f"{what}: no answer from the API server within {REQUEST_SECONDS:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise KubeUnreachable(f"{what}: cannot reach the API server: {error}") from error
        if not 200 <= response.status <= 299:
            raise error_from_response(response.status, content, what)
        parsed: Object = json.loads(content)
        return parsed

    async def _login(self, refused: Any) -> None:
        async with self._logging_in:
            if self._api is not refused:
                return  # another request has logged in meanwhile
            old, self._api = self._api, ApiClient(await load_login(self._kubeconfig))
            if old is not None:
                await old.close()

    async def _close(self) -> None:
        if self._api is not None:
            await self._api.close()
