"""What the state machine knows of a queue, without a store: a model of a few dozen lines. Pure.

It knows which task is where, in which order a tenant's tasks are served, who is next in a session, and which fence is
the newest; each partition apart.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from taskfleet.core.task import NewTask
from taskfleet.store.partitions.home import place_of_task

MAX_ATTEMPTS = 3
DELAYED_LATER = 1_000_000  # a delayed task counts as enqueued when its delay ends, behind all that are not delayed
FlowKey = tuple[int, int, str, str]  # place, priority, model, tenant
TENANTS = ("default", "gold")


@dataclass
class Known:
    """What the model knows of one task; ``order`` is its place in the order of submission."""

    order: int
    flow: FlowKey
    batch: str
    session: str | None = None
    state: str = "p"
    fence: int = 0
    attempts: int = 0
    cancelling: bool = False
    overdue: bool = False
    deadline: bool = False
    late: bool = False
    deaths: int = 0
    heard: bool = False
    output: str = ""
    told: bool = False


@dataclass
class Flow:
    """What one tenant has waiting in a lane: in the order in which it came, and what came back, by its order."""

    new: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.new) + len(self.back)

    def in_order(self, order: Callable[[str], int]) -> list[str]:
        new, back, merged = list(self.new), sorted(self.back, key=order), []
        while new or back:
            merged.append((new if new and (not back or order(new[0]) < order(back[0])) else back).pop(0))
        return merged

    def remove(self, name: str) -> None:
        (self.new if name in self.new else self.back).remove(name)


class Model:
    """``silent``: no worker was heard for longer than a lease; ``spared``: no lease ends."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.silent = self.spared = False
        self.tasks: dict[str, Known] = {}
        self.flows: defaultdict[FlowKey, Flow] = defaultdict(Flow)
        self.sessions: defaultdict[str, list[str]] = defaultdict(list)
        self.passed: Counter[tuple[int, frozenset[str]]] = Counter()

    def order(self, name: str) -> int:
        return self.tasks[name].order

    def add(self, new: list[NewTask], batch: str, *, staged: bool = False) -> None:
        for task in new:
            order = int(task.id[1:]) + (DELAYED_LATER if task.delay else 0)
            place = place_of_task(task, self.partitions)
            known = self.tasks[task.id] = Known(
                order, (place, int(task.priority), task.model, task.tenant), batch, task.session
            )
            known.deadline = task.deadline is not None
            known.told = task.events
            if task.delay:
                known.state = "s"
            else:
                self.join(task.id, staged=staged)

    def join(self, name: str, *, staged: bool = False) -> None:
        """A task begins to wait behind all others, or behind its session. The first of a session that was staged waits
        where it was submitted, as one does whose session lets it go."""
        known = self.tasks[name]
        if known.session is not None:
            self.sessions[known.session].append(name)
        if known.session is not None and len(self.sessions[known.session]) > 1:
            known.state = "b"
        else:
            known.state = "p"
            flow = self.flows[known.flow]
            (flow.back if staged and known.session is not None else flow.new).append(name)

    def leave(self, name: str, state: str) -> None:
        """A task stops waiting (or running) and takes another state; a final one lets the next of its session wait."""
        known = self.tasks[name]
        if known.state == "p":
            self.flows[known.flow].remove(name)
        known.state = state
        if state not in "cfxe" or known.session is None:
            return
        others = self.sessions[known.session]
        others.remove(name)
        if others and self.tasks[others[0]].state == "b":
            self.come_back([others[0]])

    def come_back(self, names: list[str]) -> None:
        for name in names:
            self.tasks[name].state = "p"
            self.flows[self.tasks[name].flow].back.append(name)

    def _may_be_due(self, task: Known, places: Collection[int] | None) -> bool:
        return (places is None or task.flow[0] in places) and not (self.spared and task.state == "r")

    def bring_due(self, places: Collection[int] | None = None) -> None:
        """In these places; in all when none are given."""
        back, arriving = [], []
        here = {name: task for name, task in self.tasks.items() if self._may_be_due(task, places)}
        for name in sorted(name for name, task in here.items() if task.late and task.state in "psb"):
            self.leave(name, "e")
        for name, task in here.items():
            if task.overdue and task.state == "s" and not task.fence:
                arriving.append(name)
            elif task.overdue and task.state == "r" and task.cancelling:
                self.leave(name, "x")
            elif task.overdue and task.state == "r" and task.heard:
                task.attempts -= 1  # the answer to its claim was lost: no death
                self.leave(name, "e") if task.late else back.append(name)
            elif task.overdue and task.state == "r" and (task.deaths == 1 or task.attempts >= MAX_ATTEMPTS):
                self.leave(name, "f")
            elif task.overdue and task.state in "rs" and task.late:
                self.leave(name, "e")
            elif task.overdue and task.state in "rs":
                task.deaths += task.state == "r"
                back.append(name)
            task.overdue = False
        self.come_back(back)
        for name in sorted(arriving):
            self.tasks[name].state = "p"
            self.flows[self.tasks[name].flow].new.append(name)

    def waiting(self, place: int, models: frozenset[str]) -> list[int]:
        """How many wait there, by priority."""
        return [
            sum(len(self.flows[place, priority, model, tenant]) for model in models for tenant in TENANTS)
            for priority in range(4)
        ]

    def priorities(self, place: int, models: frozenset[str], count: int) -> list[int]:
        """The priorities of the next tasks: the highest that waits, but every 20th of a lower one, in turn."""
        left = self.waiting(place, models)
        served = []
        while len(served) < count and any(left):
            waiting = [priority for priority in range(4) if left[priority]]
            chosen = waiting[0]
            if len(waiting) > 1:
                self.passed[place, models] += 1
                passed = self.passed[place, models]
                if passed % 20 == 0:
                    chosen = waiting[1:][(passed // 20 - 1) % (len(waiting) - 1)]
            left[chosen] -= 1
            served.append(chosen)
        return served

    def in_state(self, state: str) -> set[str]:
        return {name for name, task in self.tasks.items() if task.state == state}
