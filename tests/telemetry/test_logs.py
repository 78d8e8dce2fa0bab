"""One log line an event: JSON for machines, text for people."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from taskfleet.core.errors import InputError
from taskfleet.telemetry.logs import configure_logs


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before


def logged(environ: dict[str, str], *, fails: bool = False) -> str:
    stream = io.StringIO()
    configure_logs(environ, stream)
    try:
        int("broken" if fails else "1")
    except ValueError:
        logging.getLogger("part").exception("it failed")
    else:
        logging.getLogger("part").info("lease %s", "lost", extra={"task": "t1"})
    return stream.getvalue()


def test_json_has_the_message_and_its_fields_on_one_line() -> None:
    line = json.loads(logged({"TASKFLEET_LOG_FORMAT": "json"}))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "part", "message": "lease lost", "task": "t1"}


def test_an_exception_stays_in_the_one_line_of_json() -> None:
    text = logged({"TASKFLEET_LOG_FORMAT": "json"}, fails=True)
    assert text.count("\n") == 1
    assert "ValueError: invalid literal" in json.loads(text)["exception"]


def test_text_is_for_people() -> None:
    assert logged({"TASKFLEET_LOG_FORMAT": "text"})[8:] == " info    lease lost  task=t1\n"


def test_what_is_not_a_terminal_gets_json() -> None:
    assert json.loads(logged({}))["task"] == "t1"


def test_a_level_hides_what_is_below_it() -> None:
    assert logged({"TASKFLEET_LOG_LEVEL": "WARNING"}) == ""


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("TASKFLEET_LOG_FORMAT", "'loud' is not a format"), ("TASKFLEET_LOG_LEVEL", "'loud' is not a level")],
)
def test_a_bad_setting_is_a_sentence(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=f"{name}: {sentence}"):
        configure_logs({name: "loud"}, io.StringIO())
