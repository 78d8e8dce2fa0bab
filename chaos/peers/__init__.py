"""The same SIGKILL for other task queues and for Taskfleet, at default settings: ``make chaos ARGS=--peers``."""
