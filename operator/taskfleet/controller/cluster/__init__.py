"""The reconciler on a cluster: kopf watches feed it, Deployments and status are what it writes."""
