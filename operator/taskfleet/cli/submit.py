"""``taskfleet submit``: one prompt or a file of tasks into a queue, all of them or none."""

import asyncio
import secrets
import shlex
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from taskfleet.api.resultline import result_line
from taskfleet.api.tasklines import line_of_id, read_task_lines
from taskfleet.api.taskqueue import TaskQueueSpec, published_spec
from taskfleet.api.taskreader import task_from_prompt
from taskfleet.cli import exits
from taskfleet.cli.options import output_option, target_options
from taskfleet.cli.output import Output
from taskfleet.cli.resultfile import Tally, check_out, summary_numbers, tasks, whole_file, write_results
from taskfleet.cli.running import blocking, run_async
from taskfleet.cli.source import open_source
from taskfleet.cli.target import Target, find_target, open_store
from taskfleet.cli.waiting import wait_for_batch
from taskfleet.core.errors import DuplicateTask, InvalidTask, NotFound
from taskfleet.core.models import resolve_model
from taskfleet.core.task import Priority, QueueKey, id_of_key
from taskfleet.store import Store

EPILOG = """
\b
A file has one JSON object on each line:
  {"prompt": "Say hello"}
  {"id": "t-2", "model": "fast", "priority": "high", "messages": [{"role": "user", "content": "Hi"}]}
  {"prompt": "Later", "delay": "30m", "deadline": "2030-01-31T18:00:00Z"}
  {"prompt": "And then?", "tenant": "team-a", "session": "chat-7"}
  {"prompt": "Yes or no?", "parameters": {"temperature": 0, "max_tokens": 5}, "metadata": {"row": 3}}
  {"tool": "http", "arguments": {"url": "https://example.com/"}}
The whole file is checked before anything is submitted; a bad line is named and nothing of the file is in the queue.

\b
Examples:
  taskfleet submit demo "Translate to French: cheese" --wait
  taskfleet submit demo --tool http --argument url=https://example.com/ --wait
  taskfleet submit demo -f tasks.jsonl --wait --out results.jsonl
  generate-tasks | taskfleet submit demo -f - -o json
"""


@dataclass(frozen=True, slots=True)
class _Request:
    """What the command line asks for."""

    prompt: str | None
    file: str | None
    model: str | None
    priority: str | None
    tenant: str | None
    session: str | None
    tool: str | None
    argument: tuple[str, ...]
    task_id: str | None
    idempotency_key: str | None
    delay: str | None
    deadline: str | None
    batch: str
    wait: bool
    out: Path | None

    @property
    def calls_tool(self) -> bool:
        """One call of a tool; with a prompt the tool is a hint."""
        return self.tool is not None and self.prompt is None and self.file is None


@click.command(epilog=EPILOG)
@click.argument("queue")
@click.argument("prompt", required=False)
@click.option("-f", "--file", metavar="FILE", help="JSONL file of tasks, or - for stdin.")
@click.option("--model", help="Model of the task; with -f, of the lines that name none (default: the queue's).")
@click.option(
    "--priority",
    type=click.Choice([priority.label for priority in Priority]),
    help="Priority of the task (default: normal). With -f it belongs into the lines.",
)
@click.option("--tenant", help="Who the task is for: tenants share the queue by weight (default: default).")
@click.option("--session", help="Run the task after those of this session that came before it.")
@click.option("--tool", help="Without PROMPT: the tool to call, such as http. With it: a hint for an agent.")
@click.option(
    "--argument",
    multiple=True,
    metavar="NAME=VALUE",
    help="Argument of the tool's call, as JSON or else as text; may be given several times.",
)
@click.option("--id", "task_id", help="Id of the task, to submit it only once (default: a new one).")
@click.option("--idempotency-key", metavar="KEY", help="Submit once: with the same key again, the first task stands.")
@click.option("--delay", metavar="DURATION", help="Run the task no earlier than after this, such as 30s or 1h30m.")
@click.option("--deadline", metavar="TIME", help="Do not begin the task after this, such as 2030-01-31T18:00:00Z.")
@click.option("--batch", help="Name of the batch (default: a new one).")
@click.option("--wait", is_flag=True, help="Wait until everything is done, and show or save the results.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="With --wait: save results as JSONL here.")
@target_options
@output_option
def submit(queue: str, data: Path | None, namespace: str | None, output: Output, **options: Any) -> int:
    """Put a task with PROMPT, a call of a --tool, or a file of tasks, into QUEUE (NAME or NAMESPACE/NAME)."""
    options["batch"] = options["batch"] or _new_batch_id()
    request = _Request(**options)
    _check(request)
    target = find_target(data, namespace)
    again = _command_options(data, namespace)
    return run_async(_submit(request, target, target.queue(queue), output, again))


def _check(request: _Request) -> None:
    if (request.prompt is not None) + (request.file is not None) + request.calls_tool != 1:
        raise click.UsageError("give a PROMPT, a --tool or -f FILE, one of these")
    if request.argument and not request.calls_tool:
        raise click.UsageError("--argument is for the call of a tool: give --tool, and neither PROMPT nor -f")
    if request.model is not None and request.calls_tool:
        raise click.UsageError("--model is for a PROMPT or -f FILE; a tool is called by its name")
    of_one_task = ("task_id", "idempotency_key", "priority", "tenant", "session", "tool", "delay", "deadline")
    if request.file is not None and any(getattr(request, name) for name in of_one_task):
        raise click.UsageError(
            "with -f, id, key, priority, tenant, session, tool, delay and deadline belong into the lines of the file"
        )
    if request.out is not None and not request.wait:
        raise click.UsageError("--out needs --wait; later, use `taskfleet result --batch BATCH --out FILE`")
    check_out(request.out)


async def _submit(request: _Request, target: Target, queue: QueueKey, output: Output, again: str) -> int:
    async with open_store(target) as store:
        policy = await store.policy(queue)
        if policy is None:
            raise target.no_queue(queue)
        spec = published_spec(policy, queue)
        count = await _enqueue(request, store, queue, spec)
        if not count and request.idempotency_key is not None:
            return await _tell_of_the_first(request.idempotency_key, store, queue, output, again)
        submitted = {"queue": str(queue), "batch": request.batch, "tasks": count}
        look = f"taskfleet status --batch {request.batch}{again}"
        fetch = f"taskfleet result --batch {request.batch}{again}"
        if not request.wait:
            output.result(
                submitted, f"submitted {tasks(count)} to {queue} as batch {request.batch}", f"  {look}", f"  {fetch}"
            )
            return exits.OK
        output.remark(f"submitted {tasks(count)} to {queue} as batch {request.batch}")
        try:
            await wait_for_batch(store, target, queue, request.batch, output)
        except asyncio.CancelledError:
            output.remark(f"\nno longer waiting; the tasks go on. Look again with: {look}")
            raise
        return await _show_results(request, store, queue, submitted, output)


async def _tell_of_the_first(key: str, store: Store, queue: QueueKey, output: Output, again: str) -> int:
    (view,) = await store.get(queue, [id_of_key(key)])
    if view is None:
        raise NotFound(f"the task of this idempotency key has just left {queue}; submit it again")
    shown = {"queue": str(queue), "batch": view.batch, "tasks": 0, "task": result_line(view)}
    said = f"submitted before: task {view.id} of {queue} is {view.state.value}"
    output.result(shown, said, f"  taskfleet result {view.id}{again}")
    return exits.OK


async def _enqueue(request: _Request, store: Store, queue: QueueKey, spec: TaskQueueSpec) -> int:
    if request.file is None:
        task = task_from_prompt(
            request.prompt,
            spec=spec,
            model=request.model,
            priority=request.priority or Priority.NORMAL.label,
            tenant=request.tenant,
            session=request.session,
            task_id=request.task_id,
            idempotency_key=request.idempotency_key,
            tool=request.tool,
            arguments=_arguments(request.argument) if request.calls_tool else None,
            delay=request.delay,
            deadline=request.deadline,
        )
        return await store.submit(queue, [task], batch=request.batch)
    if request.model is not None:
        spec = spec.model_copy(update={"default_model": resolve_model(request.model, spec.offered, spec.default_lane)})
    with open_source(request.file, spec) as source:
        with blocking():
            for _ in read_task_lines(source.lines(), spec=spec):
                pass  # a first pass that only checks: most bad files never reach the store
        try:
            return await store.submit(queue, read_task_lines(source.lines(), spec=spec), batch=request.batch)
        except DuplicateTask as error:
            number = line_of_id(source.lines(), error.task_id)
            raise DuplicateTask(error.task_id, f"line {number}: {error}" if number else str(error)) from None


async def _show_results(
    request: _Request, store: Store, queue: QueueKey, submitted: dict[str, Any], output: Output
) -> int:
    views = store.batch_tasks(queue, request.batch)
    if request.out is not None:
        with whole_file(request.out) as file:
            tally = await write_results(views, file)
    else:
        tally = Tally()
        async for view in views:
            tally.add(view)
            if request.file is None:
                submitted["result"] = result_line(view)
    for cause in tally.causes():
        output.remark(f"  {cause}")
    output.result(submitted | summary_numbers(tally, request.out), *_closing_lines(request, submitted, tally))
    return tally.exit_code


def _closing_lines(request: _Request, submitted: dict[str, Any], tally: Tally) -> list[str]:
    if request.out is not None:
        return [f"{tally.summary()}; results in {request.out}"]
    if request.file is None and not tally.unsuccessful:
        answer = submitted["result"]["output"]
        return [answer if isinstance(answer, str) else orjson.dumps(answer).decode()]
    return [tally.summary()]


def _arguments(given: tuple[str, ...]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InvalidTask(f"--argument: {pair!r} is not NAME=VALUE, such as url=https://example.com/")
        try:
            arguments[name] = orjson.loads(value)
        except orjson.JSONDecodeError:
            arguments[name] = value
    return arguments


def _new_batch_id() -> str:
    """Sorts by time and can be typed: seconds in hex and three random characters."""
    return f"{int(time.time()):08x}-{secrets.token_hex(2)}"


def _command_options(data: Path | None, namespace: str | None) -> str:
    """The options by which a later command finds the same store, to be typed."""
    data_option = f" --data {shlex.quote(str(data))}" if data is not None else ""
    return data_option + (f" --namespace {namespace}" if namespace is not None else "")
