"""The worker: claims tasks of one queue, calls one model endpoint, settles the results.

Only ``environment`` is for other packages; it needs none of the worker's own libraries.
"""

from taskfleet.worker.variables import environment

__all__ = ["environment"]
