"""What the exit codes of every command mean. A test holds this table to the error tree of ``core/errors.py``."""

OK = 0
TASKS_FAILED = 1
BAD_INPUT = 2
NOT_FINISHED = 3
BUG = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143

MEANINGS: dict[int, str] = {
    OK: "done",
    TASKS_FAILED: "it ran, and some tasks failed",
    BAD_INPUT: "bad input: arguments, a manifest or a task line",
    NOT_FINISHED: "some of the tasks asked for are not finished yet, or cannot be claimed while the queue is paused",
    4: "no such queue, task or batch",
    5: "the queue is full: try again later",
    6: "the queue is being deleted and takes no new tasks",
    7: "nobody has claimed the task, so there is nothing to end",
    8: "the task has ended already, and keeps its result",
    10: "the store cannot serve us, for instance because of its disk",
    11: "the store cannot be reached",
    12: "the store refuses the password or user",
    13: "the store is out of memory",
    14: "the store's server is too old",
    15: "the store's data is of another version of Taskfleet",
    16: "another `taskfleet up` uses this data folder",
    17: "no `taskfleet up` runs on this data folder",
    18: "no model server was found or given",
    19: "a wait took longer than its timeout",
    20: "the Kubernetes API cannot be used",
    21: "a dataset could not be read to its end",
    22: "a checkpoint cannot be used or written",
    23: "the gateway cannot be reached",
    24: "the gateway refuses the API key, or the key lacks the right",
    27: "another command drives this run of a parallel queue by now",
    28: "the store lost the last changes of a run of a parallel queue; the same command goes on from the ones before",
    BUG: "an error in Taskfleet itself",
    INTERRUPTED: "interrupted (Ctrl-C)",
    BROKEN_PIPE: "the reader of the output went away",
    TERMINATED: "`up` was ended by SIGTERM",
}
