"""Tells a poison prompt from an outage: which tasks met endpoint trouble, and whether others completed since. Pure."""

REMEMBERED = 4096


class Suspects:
    """What this worker remembers of tasks that met endpoint trouble here; the oldest are forgotten first."""

    def __init__(self) -> None:
        self._successes = 0
        self._successes_at_trouble: dict[str, int] = {}

    def completed(self, task_id: str) -> None:
        """A task got a real completion from the endpoint."""
        self._successes += 1
        self.forget(task_id)

    def met_trouble(self, task_id: str) -> bool:
        """Whether the endpoint has completed other tasks since this one last met trouble; False the first time."""
        before = self._successes_at_trouble.pop(task_id, None)
        self._successes_at_trouble[task_id] = self._successes
        if len(self._successes_at_trouble) > REMEMBERED:
            del self._successes_at_trouble[next(iter(self._successes_at_trouble))]
        return before is not None and self._successes > before

    def forget(self, task_id: str) -> None:
        """The task has ended for good."""
        self._successes_at_trouble.pop(task_id, None)
