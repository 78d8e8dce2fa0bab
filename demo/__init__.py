"""The demo: a real model labels a few hundred reviews through Taskfleet. ``python -m demo`` runs it."""
