"""Parallel queues: a file that says what to do with each of many items, run over a queue and its workers."""
