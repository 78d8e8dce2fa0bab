"""The parallel commands: what they print, and the exit code of each end."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from demo.site import Site, serving
from taskfleet.core.task import QueueKey
from taskfleet.parallel import pipelinerun
from taskfleet.store.runs import RunChange, Runs
from tests.demo.test_readme import ROOT, commands
from tests.parallel.conftest import Ask, Bench
from tests.support.commands import Taskfleet
from tests.support.programs import started
from tests.support.waiting import wait_until

START_SECONDS = 60.0  # a busy machine needs long to start a program
PROGRAM = str(Path(sys.executable).with_name("taskfleet"))
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def parallel(taskfleet: Taskfleet, monkeypatch: pytest.MonkeyPatch, store_url: str, bench: Bench) -> Command:
    """Run a parallel command on the bench's queue."""
    monkeypatch.setenv("TASKFLEET_STORE_URL", store_url)
    monkeypatch.setenv("TASKFLEET_QUEUE", str(bench.queue))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(bench.folder))

    def call(*arguments: object) -> tuple[int, str, str]:
        done = taskfleet("parallel", *arguments)
        return done.code, done.out, done.err

    return call


def file_of(bench: Bench, **fields: Any) -> str:
    return str(bench.spec(**fields).file)


def test_a_file_is_validated_run_and_looked_at(parallel: Command, bench: Bench, ask: Ask) -> None:
    file = file_of(bench, on=["a", "b"], action_loop=[{"name": "say", "action": ask("{{ $item }} {{ loudly }}")}])
    code, _, err = parallel("validate", file)
    assert (code, "loudly is not known here" in err) == (2, True)
    assert parallel("validate", file, "-i", "loudly=x")[:2] == (0, "valid: one: say, 10 at once\n")
    code, out, err = parallel("run", file, "--input", "loudly=3")
    assert (code, out.endswith(": 2 items: 2 completed\n")) == (0, True), out + err
    assert f"results: taskfleet parallel results {bench.word}.one" in err
    code, out, _ = parallel("status", f"{bench.word}.one", "-o", "json")
    (shown,) = json.loads(out)["runs"]
    assert (code, shown["state"], shown["items"]["completed"], shown["steps"]) == (
        0,
        "completed",
        2,
        {"say": {"ok": 2}},
    )
    code, out, _ = parallel("results", file)
    assert (code, [json.loads(line)["item"] for line in out.splitlines()]) == (0, ["a", "b"])
    assert bench.all_calls() == {"a 3": 1, "b 3": 1}


def test_what_is_wrong_with_the_items_is_said_with_the_line_before_anything_runs(
    parallel: Command, bench: Bench, ask: Ask
) -> None:
    step = {"name": "say", "action": ask("{{ $item }}")}
    file = file_of(bench, on="{{ 3 }}", action_loop=[step])
    code, _, err = parallel("run", file)
    assert (code, f"{file}:9: steps[0].parameters.on: it is no list but int: '3'" in err) == (2, True), err
    file = file_of(bench, on=["a"], action_loop=[step | {"model": "gone"}])
    code, _, err = parallel("run", file)
    assert (code, f"{file}:7: steps[0].parameters.action_loop[0]: " in err) == (2, True), err
    assert not bench.all_calls()


def test_a_run_that_has_ended_is_run_again_only_when_that_is_said(parallel: Command, bench: Bench, ask: Ask) -> None:
    file = file_of(bench, on=["a"], action_loop=[{"name": "say", "action": ask("{{ $item }}")}])
    assert parallel("run", file)[0] == 0
    code, _, err = parallel("run", file)
    assert (code, "has run already" in err, "--again" in err) == (2, True, True)
    code, out, _ = parallel("run", file, "--again", "-o", "json")
    assert (code, json.loads(out)["runs"][0]["items"]["completed"]) == (0, 1)
    assert bench.calls("a") == 2


def test_what_a_cluster_finds_by_itself_is_given_by_hand_on_a_laptop(parallel: Command, bench: Bench, ask: Ask) -> None:
    manifest = {
        "apiVersion": "taskfleet.dev/v1alpha1",
        "kind": "ParallelQueue",
        "metadata": {"name": bench.word},
        "spec": {
            "inputsFrom": {"document": {"configMap": {"name": "sources", "key": "text"}}},
            "items": "{{ document.split() }}",
            "actionLoop": [{"name": "say", "action": ask("{{ $item }}")}],
        },
    }
    file = bench.folder / "kind.yaml"
    file.write_text(yaml.safe_dump(manifest))
    assert parallel("validate", file)[0] == 0
    code, _, err = parallel("run", file)
    assert (code, "inputsFrom: document: a cluster has that; give it here, as --input document=@FILE" in err) == (
        2,
        True,
    )
    assert parallel("run", file, "--input", "document=one two")[0] == 0
    assert bench.all_calls() == {"one": 1, "two": 1}


def test_failed_items_are_grouped_by_their_cause_and_the_exit_code_says_that_there_are_some(
    parallel: Command, bench: Bench, ask: Ask
) -> None:
    file = file_of(bench, on=["good", "bad 1", "bad 2"], action_loop=[{"name": "say", "action": ask("{{ $item }}")}])
    with bench.failing(ask("bad")):
        code, out, _ = parallel("run", file)
    assert code == 1
    assert "3 items: 1 completed, 2 failed" in out
    assert out.splitlines()[-1].startswith("bad_request: ")
    assert out.splitlines()[-1].endswith("\t2")
    saved = bench.folder / "results.jsonl"
    code, out, _ = parallel("results", f"{bench.word}.one", "--out", saved)
    assert (code, f"results in {saved}" in out, len(saved.read_text().splitlines())) == (1, True, 3)


BROKEN_FOR_AN_ITEM = """\
name: WORD
steps:
- id: one
  action: create_parallel_queue
  parameters:
    on: [text]
    action_loop:
    - name: words
      action: >-
        WORD {{ $item.missing }}
    - name: text
      action: WORD {{ $item | dictsort }}
    - name: call
      tool: http
      arguments:
        headers: {accept: "{{ $item.kind }}"}
        url: http://a.test/
    - name: address
      tool: http
      arguments:
        method: GET
        url: "{{ $item }}"
    - name: asked
      action: WORD
      if: "{{ $item.more.than }}"
    - name: inside
      on: [1]
      action_loop:
      - name: deep
        action: WORD {{ $item.x }}
    - name: again
      on: [1]
      action_loop: [{name: say, action: WORD}]
      until: "{{ $results[9].item }}"
"""


def test_what_breaks_for_an_item_is_told_with_file_line_and_field(
    parallel: Command, bench: Bench, tools: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKFLEET_QUEUE", str(tools.queue))
    file = bench.folder / "broken.yaml"
    text = BROKEN_FOR_AN_ITEM.replace("WORD", bench.word)
    file.write_text(text.replace("\n    - name: ", "\n    - onError: continue\n      name: "))
    code, _, err = parallel("run", file)
    assert code == 0, err
    (line,) = [json.loads(each) for each in parallel("results", file)[1].splitlines()]
    errors = {name: step["error"] for name, step in line["steps"].items()}
    loop = f"{file}:%d: steps[0].parameters.action_loop[%d]."
    assert errors["words"] == loop % (10, 0) + "action: 'str object' has no attribute 'missing'"
    assert errors["text"].startswith(loop % (14, 1) + "action: ")
    assert errors["call"] == loop % (19, 2) + "arguments.headers.accept: 'str object' has no attribute 'kind'"
    assert errors["address"].startswith(loop % (26, 3) + "arguments.url: it must begin with http://")
    assert errors["asked"] == loop % (30, 4) + "if: 'str object' has no attribute 'more'"
    assert f": {loop % (36, 5)}action_loop[0].action: 'int object' has no attribute 'x'" in errors["inside"]
    assert errors["again"].startswith(loop % (41, 6) + "until: ")


def test_why_a_run_ends_is_told_with_file_line_and_field(parallel: Command, bench: Bench, ask: Ask) -> None:
    (bench.folder / "items.jsonl").write_text('1\n{"no\n')
    step = {"name": "say", "action": ask("{{ $item }}")}
    for fields, line, why in (
        ({"on": "items.jsonl"}, 9, f"on: {bench.folder}/items.jsonl, line 2: not JSON"),
        ({"on": ["a"], "until": "{{ $results[9].item }}"}, 11, "until: "),
    ):
        file = file_of(bench, **fields, action_loop=[step])
        code, out, _ = parallel("run", file, "--again")
        assert code == 1
        assert f"{file}:{line}: steps[0].parameters.{why}" in out


def test_a_picture_of_a_run_has_its_states_and_their_numbers(parallel: Command, bench: Bench, ask: Ask) -> None:
    file = file_of(bench, on=["good", "bad 1", "<&"], action_loop=[{"name": "say", "action": ask("{{ $item }}")}])
    with bench.failing(ask("bad")):
        assert parallel("run", file)[0] == 1
    drawn = bench.folder / "run.svg"
    code, out, _ = parallel("results", file, "--picture", drawn)
    assert (code, f"; picture in {drawn}" in out, len(out.splitlines())) == (1, True, 1)
    words = [element.text for element in ElementTree.parse(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert words[0] == f"{bench.word}.one"
    assert {"2 completed", "1 failed"} <= set(words)
    code, _, err = parallel("results", file, "--picture", bench.folder / "none" / "a.svg")
    assert (code, "--picture" in err, "its folder does not exist" in err) == (2, True, True)


def test_later_queues_use_what_earlier_ones_came_to(parallel: Command, bench: Bench, ask: Ask) -> None:
    first = bench.spec(on=["a", "b"], action_loop=[{"name": "say", "action": ask("first {{ $item }}")}]).file
    second = f"""
- id: two
  action: create_parallel_queue
  parameters:
    on: "{{{{ one.results }}}}"
    action_loop:
    - {{name: more, action: "{ask("second {{ $item.item }} {{ $item.steps.say.ok }} of {{ one.completed }}")}"}}
"""
    first.write_text(first.read_text() + second)
    code, out, err = parallel("run", first, "-o", "json")
    assert code == 0, err
    assert [each["name"] for each in json.loads(out)["runs"]] == [f"{bench.word}.one", f"{bench.word}.two"]
    assert bench.all_calls() == {"first a": 1, "first b": 1, "second a true of 2": 1, "second b true of 2": 1}


def test_more_results_than_a_template_takes_are_refused_with_the_way_round(
    parallel: Command, bench: Bench, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bench.spec(on=["a", "b"], action_loop=[{"name": "say", "action": ask("first {{ $item }}")}]).file
    second = f"""
- id: two
  action: create_parallel_queue
  parameters:
    on: ["c"]
    action_loop:
    - {{name: more, action: "{ask("second {{ one.outputs | length }}")}"}}
"""
    first.write_text(first.read_text() + second)
    monkeypatch.setattr(pipelinerun, "MAX_BYTES", 300)  # more than one line has, and less than two
    code, _, err = parallel("run", first)
    assert code == 2
    assert f"{bench.word}.one has more than" in err
    assert "on: {{ ID.results }}" in err
    assert set(bench.all_calls()) == {"first a", "first b"}


def test_a_step_before_may_make_the_items(parallel: Command, bench: Bench, ask: Ask) -> None:
    first = bench.spec(on=["numbers"], action_loop=[{"name": "say", "action": ask("make {{ $item }}")}]).file
    second = f"""
- id: two
  action: create_parallel_queue
  parameters:
    on: "{{{{ (one.outputs | first | fromjson).found }}}}"
    action_loop:
    - {{name: more, action: "{ask("use {{ $item.n }}")}"}}
"""
    first.write_text(first.read_text() + second)
    with bench.answering(lambda prompt, _: '{"found": [{"n": 1}, {"n": 2}]}' if "make" in prompt else None):
        code, _, err = parallel("run", first)
    assert code == 0, err
    assert bench.all_calls() == {"make numbers": 1, "use 1": 1, "use 2": 1}


def test_a_run_is_looked_at_and_ended_while_it_goes_on(
    parallel: Command, bench: Bench, ask: Ask, store_url: str
) -> None:
    file = file_of(bench, on=["a", "slow", "b"], action_loop=[{"name": "say", "action": ask("{{ $item }}")}])
    command = [PROGRAM, "parallel", "run", file, "-q", str(bench.queue)]
    environment = os.environ | {"TASKFLEET_STORE_URL": store_url}
    with bench.failing(ask("slow"), kind="hang"), started(command, env=environment, stderr=subprocess.PIPE) as running:

        def lines() -> list[Any]:
            code, out, _ = parallel("results", file)
            return [json.loads(line)["item"] for line in out.splitlines()] if code == 3 else []

        wait_until(lambda: lines() == ["a", "b"], "the results so far", timeout=START_SECONDS)
        code, out, _ = parallel("status", file)
        assert (code, "running: 3 items: 2 completed, 1 open" in out) == (3, True), out
        code, out, _ = parallel("cancel", file)
        assert (code, ": 3 items: 2 completed, 1 cancelled" in out) == (0, True), out
        assert running.wait(START_SECONDS) == 27
        assert b"is driven by another command by now" in running.communicate()[1]
    code, out, _ = parallel("results", file)
    assert (code, [json.loads(line)["status"] for line in out.splitlines()]) == (
        1,
        ["completed", "cancelled", "completed"],
    )
    assert parallel("cancel", file) == (0, "", "nothing was left to cancel\n")


def test_changes_that_the_store_loses_are_made_again(
    parallel: Command, bench: Bench, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when it comes back from a kill without what it wrote last. What is lost is not the end of the run, of which
    nobody would hear: calls take long enough for several changes."""
    monkeypatch.setattr(bench.stub, "latency", 0.05)
    commit, lost = Runs.commit, list[int]()

    async def losing(runs: Runs, queue: QueueKey, name: str, holder: str, change: RunChange, kept: float) -> bool:
        if 0 < len(change.lines) < 30 and not lost:
            lost.append(len(change.lines))
            return True
        return await commit(runs, queue, name, holder, change, kept)

    monkeypatch.setattr(Runs, "commit", losing)
    file = file_of(
        bench, on=list(range(30)), max_parallel=3, action_loop=[{"name": "say", "action": ask("{{ $item }}")}]
    )
    code, out, err = parallel("run", file)
    assert (code, out.endswith(": 30 items: 30 completed\n")) == (0, True), out
    assert f"the store has lost the last changes of the run {bench.word}.one; it goes on from those" in err
    lines = parallel("results", file)[1].splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(30))
    assert bench.all_calls() == {str(number): 1 for number in range(30)}


def test_on_a_terminal_items_and_each_step_have_a_bar(bench: Bench, ask: Ask, store_url: str) -> None:
    steps = [{"name": name, "action": ask(f"{name} {{{{ $item }}}}")} for name in ("first", "second")]
    file = file_of(bench, on=["a", "b", "c"], action_loop=steps)
    ours, theirs = os.openpty()
    environment = os.environ | {"TASKFLEET_STORE_URL": store_url, "TERM": "xterm", "COLUMNS": "120"}
    command = [PROGRAM, "parallel", "run", file, "-q", str(bench.queue)]
    with started(command, env=environment, stdout=subprocess.DEVNULL, stderr=theirs) as running:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # so a terminal ends
            while piece := os.read(ours, 65536):
                said += piece
        assert running.wait(START_SECONDS) == 0
    os.close(ours)
    for name in (f"{bench.word}.one", "first", "second"):
        assert re.search(rf"{name}\b.*3/3", said.decode()), said


def test_items_may_be_what_a_model_lists(parallel: Command, bench: Bench) -> None:
    """The stub echoes what it was asked, which is no list: it may mend it twice, and then the run does not begin."""
    file = file_of(bench, on=f"<AUTO>list {bench.word}</AUTO>", action_loop=[{"name": "a", "action": "x"}])
    code, _, err = parallel("run", file)
    assert (code, "on: the model's answers cannot be used, and it was told so: it is not JSON" in err) == (2, True)
    assert parallel("status", f"{bench.word}.one")[0] == 4


def test_what_is_not_there_is_said_to_be_missing(parallel: Command, bench: Bench) -> None:
    for command in ("status", "results", "cancel"):
        code, _, err = parallel(command, "nothing")
        assert (code, "there is no file and no run 'nothing' in test/parallel" in err) == (4, True)
    code, _, err = parallel("run", bench.folder / "none.yaml", "-o", "json")
    assert (code, json.loads(err)["error"]["code"]) == (2, "invalid_manifest")
    assert parallel("validate", bench.folder / "none.yaml", "-o", "json")[0] == 2
    assert parallel("run", bench.folder / "none.yaml", "--input", "novalue")[0] == 2


SERVES = (
    "taskfleet up -f manifests/quickstart/",
    "taskfleet up -f manifests/samples/checks.yaml",
    "python -m demo.site --document report.md",
)


@pytest.fixture
def demo_site(bench: Bench) -> Iterator[Site]:
    """The site of the samples with the report on it, and the samples of the guide with its port."""
    samples = bench.folder / "manifests/samples/parallel"
    shutil.copytree(ROOT / "manifests/samples/parallel", samples)
    with serving() as site:
        (bench.folder / "report.md").write_text(site.document())
        health = samples / "health.yaml"
        health.write_text(health.read_text().replace("8099", str(site.port)))
        yield site


def test_the_commands_of_the_guide_work_in_their_order(
    parallel: Command, bench: Bench, tools: Bench, demo_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.folder)
    monkeypatch.setenv("TASKFLEET_QUEUE", str(tools.queue))
    said = {}
    for command in commands((ROOT / "docs/guides/parallel.md").read_text()):
        if command in SERVES:
            continue
        taskfleet, group, *words = shlex.split(command)
        assert (taskfleet, group) == ("taskfleet", "parallel")
        code, out, err = parallel(*words)
        assert code == 0, f"{command}\n{out}{err}"
        said[command] = out
    answers = (bench.folder / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["item"]["name"] for line in answers] == ["France", "Japan", "Kenya", "Peru", "Canada"]
    assert "five words" in json.loads(answers[0])["steps"]["capital"]["output"]
    assert "until: " in said["taskfleet parallel run manifests/samples/parallel/rounds.yaml"]
    assert ElementTree.parse(bench.folder / "health.svg").getroot().tag.endswith("svg")
    checked = [json.loads(line) for line in parallel("results", "research.sources")[1].splitlines()]
    assert [line["item"] for line in checked] == demo_site.links()
    assert sum(line["steps"]["verify"]["ok"] for line in checked) == 90
    causes = {
        line["steps"]["verify"]["error"].partition(":")[0] for line in checked if not line["steps"]["verify"]["ok"]
    }
    assert causes == {
        *("status 404", "status 410", "status 500"),
        *("too_many_redirects", "tls_untrusted", "connection_refused"),
    }
    noted = [json.loads(line) for line in parallel("results", "research.dead")[1].splitlines()]
    assert sum(line["steps"]["note"]["ok"] for line in noted) == 30
    well = [json.loads(line) for line in parallel("results", "health")[1].splitlines()]
    assert [(line["rounds"], line["steps"]["check"]["output"]["status"]) for line in well] == [
        (2, 200),
        (2, 200),
        (2, 404),
    ]
    (votes, *_) = [json.loads(line)["steps"]["votes"] for line in parallel("results", "panel.answers")[1].splitlines()]
    assert (votes["completed"], len(votes["output"])) == (3, 3)
