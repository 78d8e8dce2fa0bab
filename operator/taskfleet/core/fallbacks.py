"""Which model serves the tasks of another while no endpoint of that one is healthy. Pure.

A model's chain is its own fallbacks in their order, then those of each of them; the first with a healthy endpoint
serves.
"""

from collections.abc import Collection, Mapping, Sequence

Fallbacks = Mapping[str, Sequence[str]]


def chain(model: str, fallbacks: Fallbacks) -> tuple[str, ...]:
    """The models that may serve in its place, the first choice first; each once."""
    found = [model]
    for link in found:  # grows while we go
        found += [other for other in fallbacks.get(link, ()) if other not in found]
    return tuple(found[1:])


def decide_fallbacks(
    fallbacks: Fallbacks,
    health: Mapping[str, Collection[bool | None]],
    before: Mapping[str, str],
    *,
    all_seen: bool = True,
) -> dict[str, str]:
    """The model that serves each model which no healthy endpoint serves, where its chain has one.

    ``health`` is that of each model's endpoints, None where it could not be seen: then what was ``before`` stays. So it
    does for a model without endpoints, unless all of them were seen.
    """
    missing: tuple[None, ...] = () if all_seen else (None,)
    serving: dict[str, str] = {}
    for model in fallbacks:
        own, links = health.get(model, missing), chain(model, fallbacks)
        if True in own:
            continue
        known = before.get(model)
        if None in own:
            serving |= {model: known} if known in links else {}
            continue
        for link in links:
            seen = health.get(link, missing)
            if True in seen or (link == known and None in seen):
                serving[model] = link
                break
    return serving


def model_for(lane: str, models: Collection[str], serving: Mapping[str, str]) -> str | None:
    """The model with which an endpoint of these ``models`` serves a lane; None when it does not."""
    if lane in models:
        return lane
    fallback = serving.get(lane)
    return fallback if fallback in models else None


def rerouted(backlog: Mapping[str, int], serving: Mapping[str, str]) -> dict[str, int]:
    """Waiting tasks by the model that serves them."""
    moved: dict[str, int] = {}
    for lane, waiting in backlog.items():
        model = serving.get(lane, lane)
        moved[model] = moved.get(model, 0) + waiting
    return moved
