# The one image of Taskfleet: the controller and the workers, told apart by their argument.
#
#   docker build -t taskfleet:0.1.0 .

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/taskfleet
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY operator operator
RUN /opt/taskfleet/bin/pip install --constraint constraints.txt '.[controller,worker]' \
 && /opt/taskfleet/bin/pip uninstall --yes pip \
 && /opt/taskfleet/bin/python -m compileall -q /opt/taskfleet/lib

FROM python:3.11-slim
# Nothing is written at run time: the root file system may be read-only.
ENV PATH=/opt/taskfleet/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/taskfleet /opt/taskfleet
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
ENTRYPOINT ["taskfleet"]
