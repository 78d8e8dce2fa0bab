"""A policy of a cluster that forbids one kind of object in one namespace, for as long as a test wants."""

import contextlib
from collections.abc import Iterator

from tests.apiserver.site import Object, Site

_PATH = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"


@contextlib.contextmanager
def forbidding(site: Site, probe: Object, plural: str, message: str) -> Iterator[None]:
    """In force when the block begins: as soon as an object such as ``probe`` is refused."""
    group, _, version = str(probe["apiVersion"]).partition("/")
    rule = {"apiGroups": [group], "apiVersions": [version], "operations": ["CREATE"], "resources": [plural]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": site.namespace},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}},
                "resourceRules": [rule],
            },
            "validations": [{"expression": "false", "message": message}],
        },
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": site.namespace},
        "spec": {"policyName": site.namespace, "validationActions": ["Deny"]},
    }
    site.server.request("POST", f"{_PATH}ies", policy)
    site.server.request("POST", f"{_PATH}ybindings", binding)
    try:
        site.until(lambda: message in _answer(site, probe), "the policy to be in force")
        yield
    finally:
        site.server.request("DELETE", f"{_PATH}ybindings/{site.namespace}")
        site.server.request("DELETE", f"{_PATH}ies/{site.namespace}")


def _answer(site: Site, probe: Object) -> str:
    """What the API server says to an object that it is only asked about."""
    try:
        site.server.request("POST", f"{site.path(probe['kind'])}?dryRun=All", probe)
    except AssertionError as error:
        return str(error)
    return ""
