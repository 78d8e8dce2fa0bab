"""The part of a WorkerPool that shapes its worker pods."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from taskfleet.api.base import BY_NAME, ApiModel, Duration, Quantity
from taskfleet.api.rules import ANNOTATIONS, LABEL_KEY, LABELS, SUBDOMAIN, Rule, duration_between, not_reserved

LabelMap = dict[str, Annotated[str, Field(max_length=63)]]
_AMOUNT = r"^[0-9]{1,12}(\\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
Amount = Annotated[Quantity, Rule(f"string(self).matches('{_AMOUNT}')", "must be an amount such as 100m, 2 or 256Mi")]
_DEVICE = "key.contains('/')"
"""What Kubernetes calls an extended resource: whole ones, and never promised to two."""

_PART = "[a-z0-9]+([._-]+[a-z0-9]+)*"
_IMAGE = (
    r"^(([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:]+\\])(:[0-9]+)?/)?" + f"{_PART}(/{_PART})*"
    "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[A-Za-z0-9+._-]+:[0-9a-fA-F]{32,})?$"
)
Image = Annotated[
    str,
    Rule(
        f"self.matches('{_IMAGE}')",
        "must be an image name such as registry.example.com/team/taskfleet:0.1.0: no scheme, no spaces, and lower-case "
        "before the tag",
    ),
]


class EnvVar(ApiModel):
    """A plain environment variable; secrets belong into apiKeySecretRef."""

    rules = (
        Rule(
            "!self.name.startsWith('TASKFLEET_')",
            "names that begin with TASKFLEET_ are set by the controller; choose another name",
            ".name",
        ),
        Rule(
            "!self.name.matches('(?i)(^|_)(API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$')",
            "env must not hold secrets and this name says that it is one; put it into a Secret and name that in the "
            "endpoint's apiKeySecretRef",
            ".name",
        ),
        Rule(
            "!self.value.matches('^(sk-|hf_|ghp_|AKIA|Bearer )') && !self.value.matches('://[^/?#]*@')",
            "env must not hold secrets and this value looks like one; put it into a Secret and name that in the "
            "endpoint's apiKeySecretRef",
            ".value",
        ),
    )

    name: str = Field(
        min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Name of the variable."
    )
    value: str = Field("", max_length=8192, description="Its value, not a secret.")


Amounts = Annotated[
    dict[str, Amount],
    Rule(
        "self.all(key, key in ['cpu', 'memory', 'ephemeral-storage'] || key.startsWith('hugepages-')"
        f" || {_DEVICE} && key.matches('{LABEL_KEY}'))",
        "must be amounts of cpu, memory, ephemeral-storage or a device with its domain, such as nvidia.com/gpu",
    ),
    Rule(
        f"self.all(key, !{_DEVICE} || string(self[key]).matches('^[0-9]+$'))",
        "devices such as nvidia.com/gpu must be whole numbers",
    ),
]


class Resources(ApiModel):
    """Compute resources of one worker pod, as in a container."""

    rules = (
        Rule(
            "!has(self.requests) || !has(self.limits) || self.requests.all(key, !(key in self.limits)"
            f" || !string(self.requests[key]).matches('{_AMOUNT}') || !string(self.limits[key]).matches('{_AMOUNT}')"
            " || quantity(string(self.requests[key])).compareTo(quantity(string(self.limits[key]))) <= 0)",
            "requests must not exceed limits; lower the request or raise the limit",
            ".requests",
        ),
        Rule(
            f"!has(self.requests) || self.requests.all(key, !{_DEVICE} || has(self.limits) && key in self.limits"
            " && string(self.limits[key]) == string(self.requests[key]))",
            "requests of a device such as nvidia.com/gpu must equal its limits; set limits and remove it here",
            ".requests",
        ),
    )

    requests: Amounts = Field(
        default_factory=dict, max_length=16, description="What a pod reserves, such as cpu: 100m or memory: 256Mi."
    )
    limits: Amounts = Field(
        default_factory=dict, max_length=16, description="What a pod may use, such as cpu: 1 or memory: 512Mi."
    )


class Toleration(ApiModel):
    """A taint that worker pods tolerate."""

    rules = (
        Rule(
            "self.operator == 'Equal' || !has(self.value)",
            "value must not be set when operator is Exists; remove value or use Equal",
            ".value",
        ),
        Rule(
            "self.operator == 'Exists' || has(self.key)",
            "key must be set when operator is Equal; set key or use Exists",
            ".key",
        ),
    )

    key: str | None = Field(None, max_length=316, description="Taint key; none means every key.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How key and value are compared.")
    value: str | None = Field(None, max_length=63, description="Taint value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect to match; none means every effect."
    )


class SecurityProfile(ApiModel):
    """A profile of the node's kernel for the pods, as Kubernetes has it."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "(self.type == 'Localhost') == has(self.localhostProfile)",
            "localhostProfile names the profile of type Localhost, and of no other; set both or remove it",
            ".localhostProfile",
        ),
    )

    type: Literal["RuntimeDefault", "Localhost", "Unconfined"] = Field(
        description="RuntimeDefault, Localhost (one that is on every node) or Unconfined (none; namespaces that "
        "enforce baseline or restricted refuse it)."
    )
    localhost_profile: str | None = Field(
        None, min_length=1, max_length=512, description="The profile on the nodes, with type Localhost."
    )


class SeccompProfile(SecurityProfile):
    """A list of the system calls that are allowed."""

    rules = (
        *SecurityProfile.rules,
        Rule(
            "!has(self.localhostProfile) || !self.localhostProfile.matches('^/|(^|/)[.][.](/|$)')",
            "must be a path under the kubelet's folder for seccomp profiles, such as profiles/terminal.json: neither "
            "an absolute one nor one with ..",
            ".localhostProfile",
        ),
    )


class WorkerTemplate(ApiModel):
    """Settings of the worker pods. On a laptop only env and terminationGracePeriod apply."""

    image: Image | None = Field(None, max_length=512, description="Worker image; the controller's own when not set.")
    resources: Resources = Field(default_factory=Resources, description="Compute resources of a pod.")
    node_selector: Annotated[LabelMap, LABELS] = Field(
        default_factory=dict, max_length=32, description="Labels that a node must have."
    )
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32, description="Tolerated taints.")
    env: Annotated[list[EnvVar], BY_NAME] = Field(
        default_factory=list, max_length=64, description="More environment variables, without secrets."
    )
    service_account_name: Annotated[str, SUBDOMAIN] | None = Field(
        None, max_length=253, description="Service account of the pods; the namespace's default one when not set."
    )
    seccomp_profile: SeccompProfile | None = Field(
        None,
        description="System calls that the pods may use; RuntimeDefault when not set, which forbids the sandbox of the "
        "tool terminal.",
    )
    app_armor_profile: SecurityProfile | None = Field(
        None, description="AppArmor's profile of the pods; what the node has when not set."
    )
    labels: Annotated[LabelMap, LABELS, not_reserved("labels")] = Field(
        default_factory=dict, max_length=32, description="More labels on the pods."
    )
    annotations: Annotated[
        dict[str, Annotated[str, Field(max_length=8192)]], ANNOTATIONS, not_reserved("annotations")
    ] = Field(default_factory=dict, max_length=32, description="Annotations on the pods.")
    termination_grace_period: Annotated[Duration, duration_between("1s", "1h", "60s")] = Field(
        Duration("130s"),
        description="Time to finish running calls after SIGTERM, a duration from 1s to 1h; the rest is handed back. "
        "Where it is longer than the queue's taskTimeout, no call is cut.",
    )
