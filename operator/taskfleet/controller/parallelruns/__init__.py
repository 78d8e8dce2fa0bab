"""ParallelQueues of a cluster: the coordinator of each, inside the controller that leads."""
