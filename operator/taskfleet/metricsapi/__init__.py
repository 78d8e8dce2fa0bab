"""``external.metrics.k8s.io``: what HPAs are told of pools, served behind the API server of the cluster."""
