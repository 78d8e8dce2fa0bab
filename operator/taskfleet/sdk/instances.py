"""The model servers that a queue object calls: as they were named, or as they are found on this machine."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from taskfleet.api.endpoint import Endpoint
from taskfleet.api.taskqueue import MAX_MODELS, TaskQueueSpec
from taskfleet.core.errors import InputError, NoModelServer
from taskfleet.core.pool import Online, Strategy
from taskfleet.providers.discovery import USUAL_PORTS, ModelServer, NotAModelServer, ask_server, find_local_servers
from taskfleet.sdk import given
from taskfleet.sdk.specs import check_instances, check_policy, parsed

Instance = str | Mapping[str, Any] | Endpoint
_MODEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._:/@-]*[A-Za-z0-9])?")
_LONGEST_MODEL = 128

_OF_A_CLUSTER = {
    "server": "give the url of a server that runs",
    "apiKeySecretRef": "give the key itself, as api_key",
}
HOW_TO_START = (
    "start one (`ollama serve`, `vllm serve MODEL`, `llama-server -m MODEL.gguf`), name one that runs elsewhere "
    '(instances=["http://HOST:8000/v1"]), or give a Python function (handler=...)'
)


async def found_endpoints(
    concurrency: int, strategy: Strategy, ports: Mapping[int, str] = USUAL_PORTS
) -> list[Endpoint]:
    """Endpoints for the servers on this machine. Raises NoModelServer, InputError."""
    servers = await find_local_servers(ports)
    if not servers:
        tried = ", ".join(f"{port} ({who})" for port, who in ports.items())
        raise NoModelServer(f"no model server with a model answers on 127.0.0.1, ports {tried}; {HOW_TO_START}")
    found = [_endpoint_of(server, number, concurrency) for number, server in enumerate(servers, start=1)]
    if strategy is Strategy.CHEAPEST:
        check_instances(found, strategy)
    return found


async def named_endpoints(
    instances: Iterable[Instance], concurrency: int, strategy: Strategy, api_key: str | None
) -> list[Endpoint]:
    """Endpoints for these instances: a URL is asked for its models, a specification says them or is asked too.

    Raises InputError for what is no instance, NoModelServer for one that does not answer.
    """
    named = list(instances)
    if not named:
        raise InputError(f"instances: it is empty; leave it out to look on this machine, or {HOW_TO_START}")
    made = await asyncio.gather(
        *(_endpoint(instance, number, concurrency, api_key) for number, instance in enumerate(named))
    )
    names = [endpoint.name for endpoint in made]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise InputError(f"instances[{number}].name: {name!r} is the name of another instance; give each its own")
    if strategy is Strategy.CHEAPEST or not all(isinstance(instance, str) for instance in named):
        check_instances(made, strategy)
    return list(made)


def keys_of(instances: Sequence[Instance], endpoints: Sequence[Endpoint], api_key: str | None) -> dict[str, str | None]:
    """What each of the instances is shown, by the name of its endpoint: its own ``api_key``, else the common one."""
    own = [instance.get("api_key") if isinstance(instance, Mapping) else None for instance in instances]
    return {endpoint.name: key or api_key for endpoint, key in zip(endpoints, own, strict=True)}


def spec_for(endpoints: Sequence[Endpoint], policy: Mapping[str, Any]) -> TaskQueueSpec:
    """The rules of a queue over these endpoints; ``policy`` are fields of a TaskQueue's spec. Raises InputError."""
    served = list(dict.fromkeys(model for endpoint in endpoints for model in endpoint.models))
    fields = {"models": [{"name": model} for model in served[:MAX_MODELS]], **policy}
    spec = parsed(TaskQueueSpec, fields, "policy")
    if policy:
        check_policy(spec)
    if spec.online is not Online.QUEUE:
        raise InputError(f"policy.online: it is {spec.online} for a gateway, and a program has none; leave it out")
    unserved = [name for name in (spec.default_lane, *(model.name for model in spec.models)) if name not in served]
    if unserved:
        raise InputError(f"policy: no instance serves the model {unserved[0]!r}; they serve {', '.join(served)}")
    return spec


async def _endpoint(instance: Instance, number: int, concurrency: int, api_key: str | None) -> Endpoint:
    where = f"instances[{number}]"
    if isinstance(instance, Endpoint):
        return instance
    if isinstance(instance, str):
        _check_url(where, instance)
        return _endpoint_of(await _ask(where, instance, api_key), number + 1, concurrency)
    if not isinstance(instance, Mapping):
        raise InputError(f'{where}: {instance!r} is no instance; give a URL or {{"url": ..., "models": [...]}}')
    for field, instead in _OF_A_CLUSTER.items():
        if instance.get(field) is not None:
            raise InputError(f"{where}.{field}: it is for a cluster; leave it out, and {instead}")
    fields = {"name": f"instance-{number + 1}", "concurrency": concurrency, **instance}
    own_key = given.text(f"{where}.api_key", fields.pop("api_key", None), "leave it out for the queue's own")
    url = fields.get("url")
    if isinstance(url, str):
        _check_url(where, url)
    if isinstance(url, str) and not fields.get("models"):
        server = await _ask(where, url, own_key or api_key)
        models, remote = _model_names(server.models)
        fields = {**fields, "url": server.url, "provider": server.provider, "models": models, "remoteNames": remote}
    return parsed(Endpoint, fields, where)


def _check_url(where: str, url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise InputError(f"{where}: {url!r} is not a URL; write http://HOST:PORT/v1 (or http://HOST:11434 for Ollama)")


async def _ask(where: str, url: str, api_key: str | None) -> ModelServer:
    try:
        server = await ask_server(url, api_key=api_key or "")
    except NotAModelServer as trouble:
        raise NoModelServer(
            f'{where}: {url}: {trouble}; start it, or say what it serves: {{"url": {url!r}, "models": ["NAME"]}}'
        ) from trouble
    if not server.models:
        raise NoModelServer(f"{where}: {url} has no model; load one first (with Ollama: `ollama pull llama3.2`)")
    return server


def _endpoint_of(server: ModelServer, number: int, concurrency: int) -> Endpoint:
    models, remote = _model_names(server.models)
    fields = {"name": f"{server.provider}-{number}", "provider": server.provider, "url": server.url, "models": models}
    return parsed(Endpoint, {**fields, "remoteNames": remote, "concurrency": concurrency}, server.url)


def _model_names(served: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Names for these models, and what the server calls those whose own name cannot be one (a path, a long name)."""
    remote: dict[str, str] = {}
    names: list[str] = []
    for own in list(served)[:MAX_MODELS]:
        name = own
        if not _MODEL.fullmatch(own) or len(own) > _LONGEST_MODEL:
            name = re.sub(r"[^A-Za-z0-9._:-]+", "-", own.rsplit("/", 1)[-1]).strip("-._:")[:_LONGEST_MODEL] or "model"
            remote[name] = own
        if name not in names:
            names.append(name)
    return names, remote
