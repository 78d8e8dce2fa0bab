"""Endpoint: one model server or API of a WorkerPool, or the tools that its workers run."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from taskfleet.api.base import UNIQUE, ApiModel, ModelName
from taskfleet.api.modelserver import ModelServer
from taskfleet.api.rules import DNS_LABEL, SUBDOMAIN, Rule
from taskfleet.api.toolsettings import ToolSettings
from taskfleet.core.ratelimit import NO_LIMITS, RateLimits

_HOST = "[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
# Five digits or fewer that are no port: nought, and what is above 65535.
NO_PORT = "(0+|6553[6-9]|655[4-9][0-9]|65[6-9][0-9]{2}|6[6-9][0-9]{3}|[7-9][0-9]{4})"

MAX_ENDPOINT_NAME = 40


class Provider(StrEnum):
    """The protocol that an endpoint speaks; ``tools`` is none: its workers run the tools themselves."""

    OPENAI = "openai"
    OLLAMA = "ollama"
    ANTHROPIC = "anthropic"
    TOOLS = "tools"


class SecretKeyRef(ApiModel):
    """One key of a Secret in the pool's namespace."""

    name: Annotated[str, Field(max_length=253), SUBDOMAIN] = Field(
        description="Name of the Secret, not the API key itself."
    )
    key: str = Field(
        min_length=1,
        max_length=253,
        pattern=r"^[-._a-zA-Z0-9]+$",
        description="Key in the Secret's data, such as token.",
    )


class Cost(ApiModel):
    """What tokens cost at an endpoint, in dollars."""

    input: float = Field(0.0, ge=0, le=1_000_000, description="Dollars for a million input tokens.")
    output: float = Field(0.0, ge=0, le=1_000_000, description="Dollars for a million output tokens.")


class RateLimit(ApiModel):
    """What all workers of an endpoint together may ask of it in any minute."""

    rules = (
        Rule(
            "has(self.requestsPerMinute) || has(self.tokensPerMinute)",
            "rateLimit must set requestsPerMinute, tokensPerMinute or both; set one or remove rateLimit",
        ),
    )

    requests_per_minute: int | None = Field(
        None, ge=1, le=10_000_000, description="Most calls that start in any 60 seconds; none when not set."
    )
    tokens_per_minute: int | None = Field(
        None,
        ge=1,
        le=2_000_000_000,
        description="Most input and output tokens of the calls that start in any 60 seconds, estimated before a call "
        "from its text and max_tokens and corrected by what the server counted; none when not set. A call that is "
        "larger than this by itself starts when nothing else counts.",
    )


class Endpoint(ApiModel):
    """One model server or API, or one for each worker, or tools. Its workers are one Deployment."""

    rules = (
        Rule(
            "self.provider == 'tools' || has(self.url) != has(self.server)",
            "an endpoint has either url, where a model server is, or server, one of its own for each worker; set one",
        ),
        Rule(
            "self.provider != 'tools' || !has(self.url) && !has(self.server)",
            "with provider tools the workers run the tools themselves: there is no url and no server; remove it",
        ),
        Rule(
            "self.provider != 'tools' || !has(self.apiKeySecretRef) && !has(self.costPerMillionTokens)"
            " && (!has(self.rateLimit) || !has(self.rateLimit.tokensPerMinute))",
            "with provider tools there are no tokens and no API key; remove apiKeySecretRef, costPerMillionTokens and "
            "rateLimit.tokensPerMinute",
        ),
        Rule(
            "self.provider == 'tools' || !has(self.tools)",
            "tools are settings for provider tools; remove them or set provider: tools",
            ".tools",
        ),
        Rule(
            "self.provider != 'tools' || !('file' in self.models) || has(self.tools) && has(self.tools.file)",
            "an endpoint that serves file needs its folder; set tools.file.root",
            ".tools",
        ),
        Rule(
            rf"!has(self.url) || self.url.matches('^https?://([^/?#]*@)?({_HOST}(\\.{_HOST})*\\.?|\\[[0-9A-Fa-f:.]+\\])"
            r"(:[0-9]{1,5})?([/?#][!-~]*)?$')",
            "url must be http:// or https:// with a host, such as http://vllm:8000/v1",
            ".url",
        ),
        Rule(
            f"!has(self.url) || !self.url.matches('^https?://[^/?#]*:{NO_PORT}([/?#]|$)')",
            "url must have a port from 1 to 65535, or none",
            ".url",
        ),
        Rule(
            "!has(self.url) || !self.url.matches('^[^/?#]*//[^/?#]*@')",
            "url must not contain a user or password; put the key into a Secret and name it in apiKeySecretRef",
            ".url",
        ),
        Rule(
            "!has(self.url) || !self.url.matches('[?#]')",
            "url must not have a query or fragment; give the base URL, and an API key through apiKeySecretRef",
            ".url",
        ),
        Rule(
            "!has(self.url) || !self.url.matches('/((chat/)?completions|messages|api/(chat|generate))/?$')",
            "url must be the base URL, such as http://vllm:8000/v1; remove the name of the call at its end",
            ".url",
        ),
        Rule(
            "!has(self.url) || self.provider != 'ollama' || !self.url.matches('/(v1|api)/?$')",
            "url must be Ollama's base URL, such as http://ollama:11434; remove /v1 or /api, or use provider openai",
            ".url",
        ),
        Rule(
            "!has(self.remoteNames) || self.remoteNames.all(name, name in self.models)",
            "remoteNames must have only keys that are in models; add the name to models or remove it here",
            ".remoteNames",
        ),
    )

    name: Annotated[str, Field(max_length=MAX_ENDPOINT_NAME), DNS_LABEL] = Field(
        description="Unique in the pool; part of the Deployment's name."
    )
    provider: Provider = Field(
        Provider.OPENAI,
        description="Protocol: openai fits vLLM, llama.cpp, Ollama's /v1 and OpenAI; ollama is Ollama's own, with its "
        "options; anthropic is the Messages API. tools is no protocol: the workers run the tools that models names "
        "(http, web, headless-browser, terminal, file, or one of a package in their image).",
    )
    url: str | None = Field(
        None,
        max_length=2048,
        description="Base URL, such as http://vllm:8000/v1, http://ollama:11434 or https://api.anthropic.com/v1, "
        "never with a key in it.",
    )
    server: ModelServer | None = Field(
        None,
        description="Instead of a url: a model server in the pod of each worker, scaled 0 to N with it; needs a "
        "cluster. A worker takes tasks once its server answers, and gives them back when it dies.",
    )
    models: Annotated[list[ModelName], UNIQUE] = Field(
        min_length=1,
        max_length=64,
        description="The queue's model names that this endpoint serves; with provider tools names of tools.",
    )
    remote_names: dict[str, Annotated[str, Field(min_length=1, max_length=256)]] = Field(
        default_factory=dict,
        max_length=64,
        description="What the server calls a model (or which tool it is), by the queue's name for it, where the two "
        "differ.",
    )
    concurrency: int = Field(4, ge=1, le=1024, description="Calls at once in one worker.")
    max_workers: int = Field(10, ge=1, le=1000, description="Most workers of this endpoint.")
    rate_limit: RateLimit | None = Field(
        None,
        description="Shared by all workers of this endpoint of this pool: a task is not taken from the queue before "
        "the limit has room for it.",
    )
    weight: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Its share of the workers when the pool's strategy is Weighted; 1 when not set.",
    )
    cost_per_million_tokens: Cost | None = Field(
        None,
        description="What it costs, for the metric taskfleet_cost_dollars_total; with strategy Cheapest the "
        "lowest sum of both comes first.",
    )
    api_key_secret_ref: SecretKeyRef | None = Field(
        None, description="Where the API key is, sent as the protocol has it; none when the server wants no key."
    )

    tools: ToolSettings | None = Field(None, description="With provider tools: what they may do.")

    @property
    def base_url(self) -> str:
        """Where its workers call it; "" where they run tools."""
        if self.server is None:
            return self.url or ""
        return self.server.url + ("" if self.provider is Provider.OLLAMA else "/v1")

    @property
    def health_path(self) -> str:
        """Of a server of its own."""
        default = "/" if self.provider is Provider.OLLAMA else "/health"
        return (self.server.health_path if self.server else None) or default

    @property
    def limits(self) -> RateLimits:
        limit = self.rate_limit
        return RateLimits(limit.requests_per_minute, limit.tokens_per_minute) if limit else NO_LIMITS

    @property
    def prices(self) -> tuple[float, float]:
        """Dollars for a million input tokens, and for a million output tokens; 0 where nothing is said."""
        cost = self.cost_per_million_tokens
        return (cost.input, cost.output) if cost else (0.0, 0.0)
