"""Every key of the store, named once: Python and the Lua scripts both take them from here.

All keys of a queue share the hash tag ``{namespace/queue}``, so that a cluster keeps them in one slot and a script may
touch them all. A queue that is spread over partitions has them once for each, under ``{namespace/queue/COUNT.NUMBER}``;
what is the whole queue's is in partition 0. Under the queue's own tag it then has only a ``policy``: its JSON, how many
partitions there are, and whether there ever were sessions. Scripts that are run there find no queue.

One-letter names where there is one key per task: they are paid for a million times.

    policy          hash    the QueuePolicy: whole (JSON), the numbers that scripts need, packed, and those of tenants;
                            exists as the queue does; beside them paused_until, the ms at which a pause ends (-1: when
                            it is resumed), and spared_until, before which no lease ends (silence.lua)
    lanes           hash    waiting tasks per lane (MODEL:PRIORITY), behind their session (=LANE), in all (*), and what
                            open stages reserve (+)
    tenants         hash    tenant -> tasks that wait, also for their time and in stages; '' is the tenant default
    flow:TENANT:LANE  list  ids in order of service; may hold ids that no longer wait, which a claim skips
    back:TENANT:LANE  zset  what came back: order of submission and id, all of score 0
    active:LANE     zset    tenant with tasks in the lane -> its virtual time
    resting:LANE    zset    tenant without -> the virtual time that it had reached, while others are behind it
    since:LANE      zset    active tenant -> ms that its oldest task is not older than
    session:NAME    list    ids of its tasks that are not final, in order: the first waits or runs
    turns:NAME      list    JSON of what was asked and answered in a session, oldest first; expires with its results
    t:ID            string  one task, packed as codec.py says; expires with the queue's retention once final
    scheduled       zset    id -> ms at which it waits for a worker (again)
    deadlines       zset    id -> ms after which it must not be begun
    leases          zset    id -> ms at which the lease ends; one more member that is none (lib.lua, NOT_PACKED)
    holders         hash    id -> worker that holds the lease; one more field
    attempts        hash    id -> JSON of the last attempts of a task that did not end it; later part of its result
    progress        hash    id -> fence and JSON of the last progress of a task that told one
    events:ID       stream  what was told of a task that asked for it, bounded; expires soon after its end
    failed          zset    id -> ms at which it failed (the dead letters)
    stats           hash    totals that only grow, and the sequences of tasks and stages
    batch:NAME      hash    total and final tasks by state
    batch:NAME:ids  list    ids in input order
    batch:NAME:order  list  the same of a queue with partitions, of all of them, in partition 0
    orders          zset    batch with such a list -> ms at which it was last looked at
    shares          hash    models of an endpoint -> tasks claimed for it while lower priorities waited, modulo a round
    limit:POOL/ENDPOINT  hash  what its workers have reserved; expires when nothing of it counts any more
    limit:HASH      hash    under the tag {callers/}: the same of the calls of an API key, by the SHA-256 of that
    jobs            zset    ids of a gateway's batches, all of score 0
    job:ID          hash    what it keeps of one, JSON by field; job:ID:holder  string  who drives it, for a moment
    endings         stream  ids of tasks that ended, with blanks between them, for who tells others of it; exists while
                            somebody wants that
    due:RECEIVER    zset    id of a message for a receiver outside -> ms at which it is (again) to be delivered
    deliveries:RECEIVER  hash  id of it -> its JSON
    run:NAME        hash    run of a parallel queue, JSON by field, and who drives it; run:NAME:open  hash  index of an
                            open item -> JSON of it; run:NAME:results  list  packed blocks of lines of items that ended
    said, decisions hash, list   what the controller says: KIND/NAME -> JSON of its status; JSON of its last decisions
    workers, seen   hash, zset   last report of each worker, and the ms of it
    began           hash    worker -> ms at which its process was first heard, and a word for the process
    stages          zset    open stage -> ms of its last chunk
    stage:N         hash    reserved and staged tasks, its batch, its counts by flow, by tenant and of blocked ones, and
                            what decides over it when other partitions have a part of the submission
    stage:N:ids     list    ids in input order
    stage:N:order   list    what becomes of batch:NAME:order
    stage:N:flow:FLOW, stage:N:session:NAME   list   what is to be added to these
    stage:N:scheduled, stage:N:deadlines   what becomes of them in these zsets
    wake            channel something may have become claimable, or changed; that of the queue's own tag for all of its
                            partitions, which are told by their number
    events:ID       channel something was told of the task
    progress        channel id of a task that told how far it is
    ended           channel ids of tasks that just ended, with blanks between them
    announced       channel before that: id and record of those that asked for it, each behind its length (writing.lua)
"""

from dataclasses import dataclass

from taskfleet.core.task import QueueKey

SCHEMA = "tf:schema"
OPEN_JOBS = "tf:jobs"  # set of namespace/name/job of jobs that somebody must drive
QUEUES = "tf:queues"  # set of namespace/name of the queues there are
SCHEMA_VERSION = 7
ENDED_EVERYWHERE, ANNOUNCED_EVERYWHERE = "tf:{*}:ended", "tf:{*}:announced"  # patterns of channels

_NAMES = (
    "policy",
    "lanes",
    "scheduled",
    "deadlines",
    "leases",
    "holders",
    "attempts",
    "progress",
    "failed",
    "stats",
    "shares",
    "tenants",
    "workers",
    "seen",
    "began",
    "stages",
    "orders",
    "wake",
    "ended",
    "announced",
    "jobs",
    "said",
    "decisions",
    "endings",
)
_FAMILIES = {
    "flow": "flow:",
    "back": "back:",
    "active": "active:",
    "resting": "resting:",
    "since": "since:",
    "session": "session:",
    "turns": "turns:",
    "task": "t:",
    "events": "events:",
    "batch": "batch:",
    "job": "job:",
    "run": "run:",
    "stage": "stage:",
    "limit": "limit:",
    "due": "due:",
    "deliveries": "deliveries:",
}
TASKS = _FAMILIES["task"]


@dataclass(frozen=True, slots=True)
class Partition(QueueKey):
    """One of the ``of`` places over which a queue is spread. In words it is the queue."""

    of: int
    number: int


CALLERS = QueueKey("callers", "")
"""Where the calls of API keys are counted: no queue has such a name."""


def prefix(queue: QueueKey) -> str:
    """What every key of the queue, or of the partition, begins with; the scripts' only KEYS argument."""
    if isinstance(queue, Partition):
        return f"tf:{{{queue}/{queue.of}.{queue.number}}}:"
    return f"tf:{{{queue}}}:"


def queue_of(key: str) -> QueueKey:
    """The queue whose key, or channel, this is, or that of one of its partitions."""
    namespace, name, *_ = key[key.index("{") + 1 : key.rindex("}")].split("/")
    return QueueKey(namespace, name)


def key(queue: QueueKey, name: str) -> str:
    """One of the queue's single keys."""
    if name not in _NAMES:
        raise KeyError(name)
    return prefix(queue) + name


def task(queue: QueueKey, task_id: str) -> str:
    return prefix(queue) + _FAMILIES["task"] + task_id


def events(queue: QueueKey, task_id: str) -> str:
    """A task's stream of events, and the channel on which readers hear of new ones."""
    return prefix(queue) + _FAMILIES["events"] + task_id


def batch(queue: QueueKey, name: str) -> str:
    return prefix(queue) + _FAMILIES["batch"] + name


def stage(queue: QueueKey, number: bytes) -> str:
    return prefix(queue) + _FAMILIES["stage"] + number.decode()


def job(queue: QueueKey, name: str) -> str:
    return prefix(queue) + _FAMILIES["job"] + name


def run(queue: QueueKey, name: str) -> str:
    return prefix(queue) + _FAMILIES["run"] + name


def run_open(queue: QueueKey, name: str) -> str:
    return run(queue, name) + ":open"


def run_results(queue: QueueKey, name: str) -> str:
    return run(queue, name) + ":results"


def turns(queue: QueueKey, session: str) -> str:
    return prefix(queue) + _FAMILIES["turns"] + session


def batch_ids(queue: QueueKey, name: str) -> str:
    return batch(queue, name) + ":ids"


def batch_order(queue: QueueKey, name: str) -> str:
    return batch(queue, name) + ":order"


def limit(queue: QueueKey, endpoint: str) -> str:
    """``endpoint`` is ``pool/endpoint``."""
    return prefix(queue) + _FAMILIES["limit"] + endpoint


def pattern(queue: QueueKey, family: str = "") -> str:
    """A SCAN pattern of all keys of the queue, or of a family; what globs would read as more than itself is escaped."""
    return "".join("\\" + letter if letter in r"*?[]^\\" else letter for letter in prefix(queue) + family) + "*"


def lua_names() -> dict[str, str]:
    """The same names for Lua, and the expression that each stands for, where ``P`` is the script's key: ``POLICY`` for
    a key, ``TASK_`` for a family that an id is appended to."""
    singles = {name.upper(): f"P .. '{name}'" for name in _NAMES}
    families = {f"{name.upper()}_": f"P .. '{start}'" for name, start in _FAMILIES.items()}
    return singles | families
