"""The client against small servers of the test's own: logins, tokens that run out, servers that are not there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from taskfleet.core.errors import NotLeading
from taskfleet.kube import (
    DEPLOYMENTS,
    SECRETS,
    TASK_QUEUES,
    KubeClient,
    KubeLoginFailed,
    KubeUnauthorized,
    KubeUnreachable,
)
from tests.support.apiserver import free_port


def write_kubeconfig(path: Path, port: int, token: str) -> str:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return str(path)


class Recorder:
    """Accepts one token, gives one answer, and keeps every request."""

    def __init__(self, token: str, answer: Any = None, status: int = 200) -> None:
        self.token = token
        self.status = status
        self.answered = answer or {"items": [{"metadata": {"name": "a"}}]}
        self.requests: list[tuple[str, str, str, Any]] = []

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        seen = (request.method, str(request.rel_url), request.content_type, json.loads(body) if body else None)
        self.requests.append(seen)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        return web.json_response(self.answered, status=self.status)


@asynccontextmanager
async def serving(recorder: Recorder) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", recorder.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_apply_is_server_side_and_forced_under_our_one_name(tmp_path: Path) -> None:
    recorder = Recorder("good")
    async with (
        serving(recorder) as port,
        KubeClient.open(write_kubeconfig(tmp_path / "k", port, "good")) as client,
    ):
        await client.apply(DEPLOYMENTS, {"metadata": {"name": "a", "namespace": "ns"}, "spec": {}})
        await client.apply(TASK_QUEUES, {"metadata": {"name": "q", "namespace": "ns"}}, subresource="status")

    query = "?fieldManager=taskfleet&force=true"
    method, url, content_type, body = recorder.requests[0]
    assert (method, url) == ("PATCH", f"/apis/apps/v1/namespaces/ns/deployments/a{query}")
    assert content_type == "application/apply-patch+yaml"
    assert (body["apiVersion"], body["kind"]) == ("apps/v1", "Deployment")
    assert recorder.requests[1][1] == f"/apis/taskfleet.dev/v1alpha1/namespaces/ns/taskqueues/q/status{query}"


async def test_a_list_is_of_a_namespace_or_of_all_and_by_label(tmp_path: Path) -> None:
    recorder = Recorder("good")
    async with (
        serving(recorder) as port,
        KubeClient.open(write_kubeconfig(tmp_path / "k", port, "good")) as client,
    ):
        assert await client.list(SECRETS, None) == [{"metadata": {"name": "a"}}]
        await client.list(DEPLOYMENTS, "ns", labels="a=b")

    assert [request[1] for request in recorder.requests] == [
        "/api/v1/secrets?limit=100",
        "/apis/apps/v1/namespaces/ns/deployments?labelSelector=a%3Db&limit=100",
    ]


class Pages(Recorder):
    """A list of three objects, one in each answer."""

    async def answer(self, request: web.Request) -> web.Response:
        at = int(request.query.get("continue", "0"))
        more = {"continue": str(at + 1)} if at < 2 else {}
        self.answered = {"metadata": more, "items": [{"metadata": {"name": "abc"[at]}}]}
        return await super().answer(request)


async def test_a_long_list_comes_a_page_at_a_time(tmp_path: Path) -> None:
    recorder = Pages("good")
    async with (
        serving(recorder) as port,
        KubeClient.open(write_kubeconfig(tmp_path / "k", port, "good")) as client,
    ):
        names = [obj["metadata"]["name"] for obj in await client.list(SECRETS, "ns", labels="a=b")]
    assert names == ["a", "b", "c"]
    assert [url.partition("?")[2] for _, url, *_ in recorder.requests] == [
        "labelSelector=a%3Db&limit=100",
        "labelSelector=a%3Db&limit=100&continue=1",
        "labelSelector=a%3Db&limit=100&continue=2",
    ]


async def test_a_token_that_ran_out_is_read_again_once_for_all_waiting_requests(tmp_path: Path) -> None:
    recorder = Recorder("old")
    async with serving(recorder) as port:
        kubeconfig = write_kubeconfig(tmp_path / "k", port, "old")
        async with KubeClient.open(kubeconfig) as client:
            await client.list(SECRETS, "ns")
            recorder.token = "new"
            write_kubeconfig(tmp_path / "k", port, "new")
            await client.list(SECRETS, "ns")
            recorder.requests.clear()
            await asyncio.gather(*(client.list(SECRETS, "ns") for _ in range(5)))
            assert len(recorder.requests) == 5


async def test_a_token_that_stays_refused_is_an_error_and_no_loop(tmp_path: Path) -> None:
    recorder = Recorder("good")
    async with (
        serving(recorder) as port,
        KubeClient.open(write_kubeconfig(tmp_path / "k", port, "bad")) as client,
    ):
        with pytest.raises(KubeUnauthorized, match="refuses our credentials"):
            await client.list(SECRETS, "ns")
    assert len(recorder.requests) == 2


async def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    async with KubeClient.open(write_kubeconfig(tmp_path / "k", free_port(), "good")) as client:
        with pytest.raises(KubeUnreachable, match="cannot reach the API server"):
            await client.list(SECRETS, "ns")


@pytest.mark.parametrize("content", [None, "", "not: [yaml", '{"kind": "Config", "current-context": "none"}'])
async def test_a_kubeconfig_that_cannot_be_used_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubeLoginFailed, match="kubeconfig"):
        async with KubeClient.open(str(path)):
            pass


async def test_a_client_that_may_write_no_more_still_reads_and_sends_no_change(tmp_path: Path) -> None:
    recorder = Recorder("a")
    over = False

    def may_write() -> None:
        if over:
            raise NotLeading("another one leads")

    async with serving(recorder) as port:
        login = write_kubeconfig(tmp_path / "config", port, "a")
        async with KubeClient.open(login, may_write) as client:
            manifest = {"metadata": {"namespace": "n", "name": "x", "resourceVersion": "1"}}
            await client.replace(DEPLOYMENTS, manifest)
            over = True
            for change in (
                client.replace(DEPLOYMENTS, manifest),
                client.apply(DEPLOYMENTS, manifest),
                client.create(DEPLOYMENTS, manifest),
                client.json_patch(DEPLOYMENTS, "n", "x", []),
                client.delete(DEPLOYMENTS, "n", "x", uid="u"),
            ):
                with pytest.raises(NotLeading):
                    await change
            await client.get(DEPLOYMENTS, "n", "x")
    assert [method for method, *_ in recorder.requests] == ["PUT", "GET"]
