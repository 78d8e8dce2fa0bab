"""Discovery: the Services of a cluster that become endpoints of a WorkerPool."""

from typing import Annotated

from pydantic import Field

from taskfleet.api.base import UNIQUE, ApiModel, ModelName, Port
from taskfleet.api.endpoint import NO_PORT, Endpoint, Provider
from taskfleet.api.rules import LABELS, Rule
from taskfleet.api.workertemplate import LabelMap

_NUMBER = f"string(self).matches('^[0-9]{{1,5}}$') && !string(self).matches('^{NO_PORT}$')"
_NAME = "string(self).matches('^[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?$') && string(self).matches('[a-z]')"
# Without a label every Service of the namespace would be taken for a model server.
_ANY_LABEL = Rule("self.size() > 0", "must have at least one label, such as app: ollama")


class ServiceSelector(ApiModel):
    """Which Services of the pool's namespace."""

    match_labels: Annotated[LabelMap, LABELS, _ANY_LABEL] = Field(
        max_length=16, description="Labels that a Service must have, all of them."
    )


class Discovery(ApiModel):
    """Services of the pool's namespace as endpoints of the pool, beside those that are listed. Each has the name of its
    Service; all have these settings."""

    rules = (
        Rule(
            "self.provider != 'tools'",
            "provider must be that of the servers; workers run tools themselves, without a Service",
            ".provider",
        ),
    )

    selector: ServiceSelector = Field(description="Which Services become endpoints.")
    port: Annotated[
        Port,
        Rule(f"{_NUMBER} || {_NAME}", "must be a port from 1 to 65535, or a port's name in the Service, such as http"),
    ] = Field(description="Port of the Services: a number, or the name that they have for it, such as http.")
    provider: Provider = Field(
        Provider.OPENAI,
        description="Protocol of the servers, as of an endpoint. Calls go to /v1 of the port, with ollama to the port.",
    )
    models: Annotated[list[ModelName], UNIQUE] = Field(
        min_length=1, max_length=64, description="The queue's model names that each of these servers serves."
    )
    concurrency: int = Field(4, ge=1, le=1024, description="Calls at once in one worker.")
    max_workers: int = Field(10, ge=1, le=1000, description="Most workers of each of these endpoints.")

    def endpoint(self, service: str, namespace: str, port: int) -> Endpoint:
        """The endpoint behind one port of a Service whose name fits an endpoint."""
        base = "" if self.provider is Provider.OLLAMA else "/v1"
        return Endpoint(
            name=service,
            provider=self.provider,
            url=f"http://{service}.{namespace}.svc:{port}{base}",
            models=self.models,
            concurrency=self.concurrency,
            max_workers=self.max_workers,
        )
