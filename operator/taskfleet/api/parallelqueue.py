"""ParallelQueue: what to do with each of many items, as people write it. A field may be in camel or in snake case."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from taskfleet.api.base import ANYTHING, BY_NAME, ApiModel, Duration, ModelName, Name
from taskfleet.api.rules import duration_between
from taskfleet.core.parallel.rules import OnError, OnUntil

MAX_PARALLEL = 10_000
MAX_STEPS = 50
MAX_INNER_STEPS = 16  # of a loop inside; the API server refuses rules that many more could make dear
MAX_ITEMS = 100_000
MAX_TEXT, MAX_EXPRESSION = 100_000, 10_000  # characters
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


Items = Annotated[list[Any] | str, BeforeValidator(_is_list_or_text), ANYTHING]
LoopName = Annotated[str | None, Field(pattern=STEP_NAME, max_length=63)]


class QueueRef(ApiModel):
    """The TaskQueue on which the steps run."""

    name: Name = Field(description="Name of the TaskQueue.")


class StepRetry(ApiModel):
    """How often a step is tried. Each try is a task, which the queue tries again when its endpoint has trouble."""

    max_attempts: int = Field(1, ge=1, le=100, strict=True, description="Tries in all, the first one included.")
    delay: Annotated[Duration, _between(0, 86400, "of at most 24h"), duration_between("0s", "24h", "10s")] = Field(
        Duration("0s"), description="Before each further try, a duration of at most 24h."
    )


class Call(ApiModel):
    """A call of a model, which has an action, or of a tool, which has arguments, or an action in <AUTO> by which a
    model chooses them."""

    name: str = Field(
        pattern=STEP_NAME, max_length=63, description="Name of the step; later templates know its outcome by it."
    )
    action: str | None = Field(
        None, min_length=1, max_length=MAX_TEXT, description="What a model is asked, as a template."
    )
    tool: str | None = Field(
        None, min_length=1, max_length=128, description="Tool that is called with arguments; that of the queue if none."
    )
    arguments: Annotated[dict[str, Any], ANYTHING] | None = Field(
        None, description="What the tool is told; texts in it are templates."
    )
    model: ModelName | None = Field(None, description="Model that is asked; that of the queue if none.")
    parameters: Annotated[dict[str, Any], ANYTHING] = Field(
        {}, description="Of the call of a model, such as max_tokens and temperature."
    )
    condition: str | None = Field(
        None,
        alias="if",
        max_length=MAX_EXPRESSION,
        description="An expression; where it does not hold, the step is skipped.",
    )
    retry: StepRetry = Field(StepRetry(), description="How often it is tried when it fails.")
    timeout: (
        Annotated[Duration, _between(0.1, 604800, "from 100ms to 168h"), duration_between("100ms", "168h", "2m")] | None
    ) = Field(None, description="From its submission on, waiting included, a duration from 100ms to 168h.")
    on_error: OnError = Field(
        OnError.SKIP,
        description="When it has failed for good. skip: the item has failed, without its other steps. continue: the "
        "next step follows. stop: the whole run ends.",
    )


class InnerLoop(Call):
    """A call, or a loop of its own over items: then it has these and an actionLoop."""

    on: Items | None = Field(
        None, alias="items", description="Items of a loop inside: a list, an expression in double braces, or <AUTO>."
    )
    as_: LoopName = Field(None, alias="as", description="What its item is called in the steps inside.")
    max_parallel: int = Field(
        1, ge=1, le=MAX_PARALLEL, strict=True, description="Its items that are open at once, for each item outside."
    )
    while_: str | None = Field(
        None, alias="while", max_length=MAX_EXPRESSION, description="As that of the queue, for its items."
    )
    until: str | None = Field(
        None, max_length=MAX_EXPRESSION, description="As that of the queue, over its items; an expression."
    )
    on_until: OnUntil = Field(OnUntil.FINISH, description="As that of the queue, for its items.")
    action_loop: Annotated[list[Call], BY_NAME] | None = Field(
        None, min_length=1, max_length=MAX_INNER_STEPS, description="The steps of its items."
    )


class Step(InnerLoop):
    """A call, or a loop of its own over items: then it has these and an actionLoop. Loops go three deep, no deeper."""

    action_loop: Annotated[list[InnerLoop], BY_NAME] | None = Field(  # type: ignore[assignment]  # a deeper one
        None, min_length=1, max_length=MAX_INNER_STEPS, description="The steps of its items."
    )


class ParallelQueueSpec(ApiModel):
    """Takes each of many items through steps, so many at once, on one TaskQueue."""

    on: Items = Field(
        alias="items",
        description="The items: a list, an expression in double braces, or <AUTO>what to list</AUTO>, which a model "
        "answers. On a laptop also a file beside this one.",
    )
    as_: LoopName = Field(None, alias="as", description="What its item is called in the loops inside.")
    action_loop: Annotated[list[Step], BY_NAME] = Field(
        min_length=1, max_length=MAX_STEPS, description="The steps of an item, one after another."
    )
    max_parallel: int = Field(
        10, ge=1, le=MAX_PARALLEL, strict=True, description="Items that are open at once, over all workers; exactly."
    )
    queue_ref: QueueRef | None = Field(None, description="The TaskQueue on which the steps run.")
    model: ModelName | None = Field(None, description="Model of steps that name none; that of the TaskQueue if none.")
    tool: str | None = Field(None, min_length=1, max_length=128, description="Tool of steps that name none.")
    inputs: Annotated[dict[str, Any], ANYTHING] = Field({}, description="Values that templates know by these names.")
    while_: str | None = Field(
        None,
        alias="while",
        max_length=MAX_EXPRESSION,
        description="An expression that is asked after the last step; where it holds, the item goes through its steps "
        "again, at most 1,000 times.",
    )
    until: str | None = Field(
        None, max_length=MAX_EXPRESSION, description="An expression; when it holds, no item is begun any more."
    )
    on_until: OnUntil = Field(
        OnUntil.FINISH, description="What becomes of the items that are open then: they finish, or are cancelled."
    )
    deadline: (
        Annotated[Duration, _between(1, 2592000, "from 1s to 720h"), duration_between("1s", "720h", "8h")] | None
    ) = Field(None, description="The run is ended after so long, a duration from 1s to 720h.")


class PipelineStep(ApiModel):
    """One parallel queue of a pipeline; ``id`` is its name."""

    id: str = Field(pattern=STEP_NAME, max_length=63)
    action: Literal["create_parallel_queue"]
    parameters: ParallelQueueSpec
