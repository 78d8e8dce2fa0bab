# The one image of Taskfleet: the controller and the workers, told apart by their argument.
#
#   docker build -t taskfleet:0.1.0 .
#   docker build --target sbom --output dist .      and its list as CycloneDX, dist/taskfleet.cdx.json; make image does both
#
#   docker build --target tools -t taskfleet-tools:0.1.0 .      for workers of provider tools: Chromium and bubblewrap
#
# Docker's builder since version 23, or podman's. Before that set DOCKER_BUILDKIT=1: the older builder makes every stage,
# Chromium's too, and drops --output without a word.
#
# The digest is that of the list over all architectures. Another base, or the same from another registry:
# --build-arg BASE=... Where PyPI is reached through a company's index or certificate, one with its /etc/pip.conf.
ARG BASE=docker.io/library/python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
# pip stays outside: it installs into the environment and is not part of it.
RUN python -m venv --without-pip /opt/taskfleet
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY operator operator
# Compiled anew and never compared with the sources: copying these gives them other times, and a process that may write
# nothing would compile them at every start.
RUN pip --python /opt/taskfleet/bin/python install --constraint constraints.txt \
      '.[controller,gateway,s3,tools,worker]' dumb-init \
 && /opt/taskfleet/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/taskfleet/lib

FROM build AS browser
RUN pip --python /opt/taskfleet/bin/python install --constraint constraints.txt '.[browser]'

FROM build AS inventory
RUN pip install --quiet --constraint constraints.txt cyclonedx-bom \
 && cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file /taskfleet.cdx.json \
      /opt/taskfleet/bin/python

FROM scratch AS sbom
COPY --from=inventory /taskfleet.cdx.json /

FROM ${BASE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="taskfleet" \
      org.opencontainers.image.description="Controller and workers of Taskfleet, a Kubernetes operator for LLM worker pools" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The base comes without compiled modules.
RUN python -m compileall -q -f --invalidation-mode unchecked-hash \
      -x "/(site-packages|test|tests|idlelib|lib2to3|ensurepip|tkinter|turtledemo)/" \
      "$(python -c "import sysconfig; print(sysconfig.get_path('stdlib'))")"
# Nothing is written at run time: the root file system may be read-only.
ENV PATH=/opt/taskfleet/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The kernel keeps from the first process of a container each signal that it has no handler for, as it has none while
# Python still begins. dumb-init has them from its first moment, and whoever is not the first ends.
ENTRYPOINT ["dumb-init", "--single-child", "--", "taskfleet"]

# Workers with provider tools need programs beside Python. Not the default: Chromium is larger than all the rest.
# libatomic1 is for Playwright's driver.
FROM runtime AS tools
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap chromium-headless-shell fonts-dejavu-core libatomic1 \
 && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY --from=browser /opt/taskfleet /opt/taskfleet
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532

FROM runtime AS taskfleet
COPY --from=build /opt/taskfleet /opt/taskfleet
USER 65532:65532
