"""The gateway: HTTP in front of the queues. OpenAI's API, tasks, batches, and what administers a queue."""
