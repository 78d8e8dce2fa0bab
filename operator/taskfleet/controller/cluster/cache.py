"""What we last saw of the objects of one kind, from lists, watch events and the answers to our own writes."""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

Object = dict[str, Any]
Name = tuple[str, str]

# Deletions are remembered only against answers that are still on their way.
_REMEMBERED_DELETIONS = 1000


class ObjectCache:
    """The newest version of every object, by (namespace, name).

    Versions arrive out of order: the answer to our own write may come before or after the watch event of it, and a
    list may be older than both. ``resourceVersion`` orders them (a number that grows in every API server since 1.0,
    and by contract since 1.35). ``kept`` makes of an object what is kept of it: name, uid and version at least.
    """

    def __init__(self, kept: Callable[[Object], Object] = lambda obj: obj) -> None:
        self._kept = kept
        self._objects: dict[Name, Object] = {}
        self._gone: dict[Name, int] = {}

    def __iter__(self) -> Iterator[Object]:
        return iter(self._objects.values())

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def saw(self, obj: Object) -> bool:
        """Take in a version of an object; False when a newer one is known."""
        key = name_of(obj)
        known = self._objects.get(key)
        newest = version_of(known) if known is not None else self._gone.get(key, -1)
        if version_of(obj) < newest:
            return False
        self._gone.pop(key, None)
        self._objects[key] = self._kept(obj)
        return True

    def saw_gone(self, obj: Object) -> bool:
        """Take in that an object is gone, in its last version; False when it has come back since."""
        key = name_of(obj)
        known = self._objects.get(key)
        if known is not None and version_of(known) > version_of(obj):
            return False
        self._objects.pop(key, None)
        self._gone[key] = version_of(obj)
        while len(self._gone) > _REMEMBERED_DELETIONS:
            del self._gone[next(iter(self._gone))]
        return True

    def missed(self, known_before: Iterable[Object], listed: Collection[str]) -> list[Object]:
        """Take in that a whole list had these uids; gives what was ``known_before`` it was asked for and has gone."""
        return [obj for obj in known_before if uid_of(obj) not in listed and self.saw_gone(obj)]


def name_of(obj: Object) -> Name:
    meta = obj["metadata"]
    return str(meta["namespace"]), str(meta["name"])


def uid_of(obj: Object) -> str:
    return str(obj["metadata"]["uid"])


def version_of(obj: Object) -> int:
    return int(obj["metadata"]["resourceVersion"])
