"""Durable queues on Valkey or Redis. Nothing outside this package knows that."""

from taskfleet.store.partitions import Store
from taskfleet.store.wake import WakeListener

__all__ = ["Store", "WakeListener"]
