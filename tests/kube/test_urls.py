"""A short host name means a Service beside the pool, for workers and controller alike."""

import pytest

from taskfleet.controller.cluster.urls import url_from_elsewhere


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://llm:8080/v1", "http://llm.team.svc:8080/v1"),
        ("https://llm/v1?a=b", "https://llm.team.svc/v1?a=b"),
        ("http://user:word@llm:1/v1", "http://user:word@llm.team.svc:1/v1"),
        ("http://llm.other:8080/v1", "http://llm.other:8080/v1"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("http://localhost:8080/v1", "http://localhost:8080/v1"),
        ("http://llm:99999/v1", "http://llm:99999/v1"),
        ("http://[:::::]/v1", "http://[:::::]/v1"),
    ],
)
def test_only_short_names_are_completed_and_what_is_no_url_is_left_for_its_probe_to_tell(
    url: str, expected: str
) -> None:
    assert url_from_elsewhere(url, "team") == expected
