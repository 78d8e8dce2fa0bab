"""Every answer of the API server that is not a yes has its class, and keeps the API server's own sentence."""

import json

import pytest

from taskfleet.kube.errors import (
    KubeConflict,
    KubeError,
    KubeForbidden,
    KubeNotFound,
    KubeRefused,
    KubeThrottled,
    KubeUnauthorized,
    KubeUnavailable,
    error_from_response,
)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, KubeRefused),
        (401, KubeUnauthorized),
        (403, KubeForbidden),
        (404, KubeNotFound),
        (409, KubeConflict),
        (422, KubeRefused),
        (429, KubeThrottled),
        (500, KubeUnavailable),
        (503, KubeUnavailable),
    ],
)
def test_a_status_has_its_class_and_the_servers_words(status: int, expected: type[KubeError]) -> None:
    body = json.dumps({"kind": "Status", "message": "the server's words", "code": status}).encode()

    error = error_from_response(status, body, "PATCH /apis/apps/v1/x")

    assert type(error) is expected
    assert "PATCH /apis/apps/v1/x" in str(error)
    assert "the server's words" in str(error)


def test_a_missing_right_is_named_with_verb_and_resource() -> None:
    said = 'deployments.apps "a" is forbidden: User "u" cannot patch resource "deployments" in API group "apps"'
    error = error_from_response(403, json.dumps({"message": said}).encode(), "PATCH")
    assert 'cannot patch resource "deployments"' in str(error)
    assert "role of the controller" in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>Bad Gateway</html>", b"[]", b"\xff\xfe"])
def test_a_page_that_is_no_status_is_survived(body: bytes) -> None:
    assert isinstance(error_from_response(502, body, "GET"), KubeUnavailable)
