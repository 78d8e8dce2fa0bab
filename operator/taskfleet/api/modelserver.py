"""A model server in the pod of each worker of an endpoint, in place of a URL."""

from typing import Annotated

from pydantic import Field

from taskfleet.api.base import BY_NAME, ApiModel, Duration
from taskfleet.api.rules import SUBDOMAIN, Rule, duration_between
from taskfleet.api.workertemplate import Amount, Image, Resources

WORKER_PORT = 8422
Argument = Annotated[str, Field(max_length=4096)]


class ServerVariable(ApiModel):
    """A plain environment variable of a model server."""

    rules = (
        Rule(
            "!self.name.matches('(API_?KEY|TOKEN|SECRET|PASSWORD)$')",
            "env must not hold secrets and this name says that it is one; have the server read it from a volume",
            ".name",
        ),
        Rule(
            "!self.value.startsWith('sk-') && !self.value.startsWith('hf_')",
            "env must not hold secrets and this value looks like one; have the server read it from a volume",
            ".value",
        ),
    )

    name: str = Field(
        min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the variable."
    )
    value: str = Field("", max_length=1024, description="Its value, not a secret.")


class ModelCache(ApiModel):
    """Where the server keeps the weights that it has loaded."""

    rules = (
        Rule(
            "!has(self.claimName) || !has(self.sizeLimit)",
            "sizeLimit is for a folder that goes with the pod, and claimName names a volume that stays; remove one",
            ".sizeLimit",
        ),
    )

    path: Annotated[
        str,
        Rule("self.matches('^/[!-~]*[^/]$')", "must be a folder in the container, such as /models"),
    ] = Field(max_length=512, description="The folder in the server's container.")
    claim_name: Annotated[str, SUBDOMAIN] | None = Field(
        None,
        max_length=253,
        description="A PersistentVolumeClaim of the namespace, which all workers of the endpoint share; without one "
        "the folder goes with the pod, and each start loads the weights anew.",
    )
    size_limit: Amount | None = Field(None, description="Most that a folder without a claim may hold, such as 20Gi.")


class ModelServer(ApiModel):
    """A container beside the worker: started before it, ended after it, and scaled 0 to N with it."""

    rules = (
        Rule(
            f"self.port != {WORKER_PORT}",
            f"port {WORKER_PORT} is the worker's own in this pod; choose another one",
            ".port",
        ),
    )

    image: Image = Field(max_length=512, description="Its image, such as vllm/vllm-openai:v0.11.0.")
    command: list[Argument] = Field([], max_length=64, description="In place of the image's own command.")
    args: list[Argument] = Field([], max_length=256, description="Arguments, such as --model and its name. No secrets.")
    port: int = Field(ge=1, le=65535, description="Where it listens, on all addresses of the pod.")
    env: Annotated[list[ServerVariable], BY_NAME] = Field(
        [], max_length=16, description="Environment variables, without secrets, such as HF_HOME."
    )
    resources: Resources = Field(default_factory=Resources, description="Its compute resources, GPUs among them.")
    run_as_user: int | None = Field(
        None,
        ge=0,
        le=2_147_483_647,
        description="User id of its process; the image's own when not set, which then must not be root. 0 is root, and "
        "only where the namespace allows it.",
    )
    cache: ModelCache | None = Field(None, description="A volume for the weights; none when not set.")
    health_path: (
        Annotated[
            str,
            Rule("self.matches('^/[!-~]*$')", "must begin with / and have no spaces, such as /health"),
        ]
        | None
    ) = Field(
        None,
        max_length=1024,
        description="Answered with status 200 once it can serve; /health when not set, / for provider ollama.",
    )
    startup_timeout: Annotated[Duration, duration_between("1s", "4h", "15m")] = Field(
        Duration("15m"),
        description="A server that does not answer for this long after its start is started anew, a duration from 1s "
        "to 4h; the pool's status shows its last words.",
    )

    @property
    def url(self) -> str:
        """Where the worker beside it finds it."""
        return f"http://127.0.0.1:{self.port}"
