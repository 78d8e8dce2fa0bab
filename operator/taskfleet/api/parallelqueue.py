"""ParallelQueue: what to do with each of many items, as people write it. A field may be in camel or in snake case."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from taskfleet.api.base import ApiModel, Duration, ModelName, Name
from taskfleet.core.parallel.rules import OnError, OnUntil

MAX_PARALLEL = 10_000
MAX_STEPS = 50
MAX_ITEMS = 100_000
MAX_INNER = 1_000  # items of a loop inside an item: they are kept with it
STEP_NAME = r"^[A-Za-z][A-Za-z0-9_]*$"


def _between(least: float, most: float, words: str) -> AfterValidator:
    def check(value: Duration) -> Duration:
        if not least <= value.seconds <= most:
            raise ValueError(f"{value} is not a duration {words}")
        return value

    return AfterValidator(check)


def _is_list_or_text(value: Any) -> Any:
    if not isinstance(value, list | str):
        raise ValueError("must be a list, the path of a file, or an expression such as {{ urls }}")  # noqa: TRY004
    return value


Items = Annotated[list[Any] | str, BeforeValidator(_is_list_or_text)]
LoopName = Annotated[str | None, Field(pattern=STEP_NAME, max_length=63)]


class QueueRef(ApiModel):
    name: Name


class StepRetry(ApiModel):
    """How often a step is tried. Each try is a task, which the queue tries again when its endpoint has trouble."""

    max_attempts: int = Field(1, ge=1, le=100, strict=True)
    delay: Annotated[Duration, _between(0, 86400, "of at most 24h")] = Duration("0s")


class Call(ApiModel):
    """A call of a model (``action``), or of a tool: with its ``arguments``, or with an ``action`` in ``<AUTO>``, by
    which a model chooses them. The tool is the step's own ``tool``, or that of the queue."""

    name: str = Field(pattern=STEP_NAME, max_length=63)
    action: str | None = Field(None, min_length=1)
    tool: str | None = Field(None, min_length=1, max_length=128)
    arguments: dict[str, Any] | None = None
    model: ModelName | None = None
    parameters: dict[str, Any] = Field({})
    condition: str | None = Field(None, alias="if")
    retry: StepRetry = StepRetry()
    timeout: Annotated[Duration, _between(0.1, 604800, "from 100ms to 168h")] | None = None
    on_error: OnError = OnError.SKIP


class InnerLoop(Call):
    """A step that is a loop of its own over items, where it has ``on`` and ``actionLoop``; a call otherwise.

    ``maxParallel``: how many of its items are open at once, for each item outside.
    """

    on: Items | None = None
    as_: LoopName = Field(None, alias="as")
    max_parallel: int = Field(1, ge=1, le=MAX_PARALLEL, strict=True)
    while_: str | None = Field(None, alias="while")
    action_loop: list[Call] | None = Field(None, min_length=1, max_length=MAX_STEPS)


class Step(InnerLoop):
    """A step of the queue itself: loops go three deep, no deeper."""

    action_loop: list[InnerLoop] | None = Field(None, min_length=1, max_length=MAX_STEPS)  # type: ignore[assignment]  # a deeper one


class ParallelQueueSpec(ApiModel):
    """``on``: a list, the path of a file, or an expression. ``as``: what its item is called in the loops inside.
    ``inputs`` are names for templates."""

    on: Items
    as_: LoopName = Field(None, alias="as")
    action_loop: list[Step] = Field(min_length=1, max_length=MAX_STEPS)
    max_parallel: int = Field(10, ge=1, le=MAX_PARALLEL, strict=True)
    queue_ref: QueueRef | None = None
    model: ModelName | None = None
    tool: str | None = Field(None, min_length=1, max_length=128)
    inputs: dict[str, Any] = Field({})
    while_: str | None = Field(None, alias="while")
    until: str | None = None
    on_until: OnUntil = OnUntil.FINISH
    deadline: Annotated[Duration, _between(1, 2592000, "from 1s to 720h")] | None = None


class PipelineStep(ApiModel):
    """One parallel queue of a pipeline; ``id`` is its name."""

    id: str = Field(pattern=STEP_NAME, max_length=63)
    action: Literal["create_parallel_queue"]
    parameters: ParallelQueueSpec
