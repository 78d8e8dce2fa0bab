"""One queue in several places: its tasks are spread over the hash tags of its partitions, so that a Valkey Cluster has
them on several nodes. Nothing outside this package knows of it; docs/adr/0011-partitions.md says what holds."""

from taskfleet.store.partitions.store import Store

__all__ = ["Store"]
