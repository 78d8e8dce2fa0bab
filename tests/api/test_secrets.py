"""Secrets do not belong into manifests: what gives one away is refused, without printing it."""

import pytest

from taskfleet.api.validate import validate
from tests.support.brokenmanifests import MANIFESTS
from tests.support.mutations import our_objects

SECRET_NAMES = [
    *("OPENAI_API_KEY", "OPENAI_KEY", "APIKEY", "HF_TOKEN", "TOKEN", "openai_api_key", "DB_PASSWORD", "DB_PASSWD"),
    *("CLIENT_SECRET", "AWS_CREDENTIALS", "GOOGLE_CREDENTIAL", "AWS_SECRET_ACCESS_KEY"),
]
PLAIN_NAMES = ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "SSL_KEY_FILE", "KEYBOARD", "MONKEY", "LANG", "HTTPS_PROXY"]
SECRET_VALUES = [
    "sk-proj-0123456789",
    "hf_abcdef",
    "Bearer abc",
    "postgres://user:hunter2@db/x",
    "http://me@proxy:3128",
]
PLAIN_VALUES = ["", "a", "http://proxy:3128/a@b", "me@example.com", "skip", "half"]


def problems(name: str, value: str) -> list[str]:
    (pool,) = our_objects(MANIFESTS / "good" / "pool-minimal.yaml")
    pool["spec"]["workerTemplate"] = {"env": [{"name": name, "value": value}]}
    return [problem.text for problem in validate(pool).problems]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_variable_named_like_a_secret_is_refused(name: str) -> None:
    (text,) = problems(name, "hunter2")
    assert "spec.workerTemplate.env[0].name: Invalid value: env must not hold secrets" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_a_value_that_looks_like_a_secret_is_refused_and_not_repeated(value: str) -> None:
    (text,) = problems("SETTING", value)
    assert "spec.workerTemplate.env[0].value: Invalid value: env must not hold secrets" in text
    assert value not in text


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_a_name_that_only_resembles_one_is_fine(name: str) -> None:
    assert problems(name, "1") == []


@pytest.mark.parametrize("value", PLAIN_VALUES)
def test_a_value_that_only_resembles_one_is_fine(value: str) -> None:
    assert problems("SETTING", value) == []


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    (pool,) = our_objects(MANIFESTS / "good" / "pool-minimal.yaml")
    pool["spec"]["endpoints"][0]["url"] = "https://user:hunter2@llm.example.com/v1"
    (problem,) = validate(pool).problems
    assert problem.path == ("spec", "endpoints", 0, "url")
    assert "put the key into a Secret and name it in apiKeySecretRef" in problem.text
    assert "hunter2" not in problem.text
