# The interface of this repository. Every target does its own set-up in .venv; `make demo` and `make test` need
# nothing but Python 3.11 or newer, make and git.
#
#   make demo      350 reviews through a real small model, workers 0 -> N -> 0  (ARGS="--tasks 50")
#   make test      all tests that this machine can run                         (ARGS="-k store")
#   make check     format, lint, types, import layers, generated files current
#   make generate  rewrite crds/, docs/reference/, the chart's CRDs and manifests/install.yaml from their sources
#   make verify    fail when a generated file is stale
#   make bench     timings beside other engines, as ratios within one run      (ARGS="queue.drain growth")
#   make chaos     20,000 tasks while workers, links and the store are killed  (ARGS="--tasks 2000 --seed 7")
#   make image     the container image, and with it dist/taskfleet.cdx.json: what is in it (CONTAINERS=podman)
#   make kind      a kind cluster with the chart and the quickstart in it      (NODE_IMAGE=kindest/node:v1.36.4)
#   make e2e       the end-to-end suite on the cluster of KUBECONFIG; make kind-cluster makes one for it
#   make wheel     dist/: the Python package; make chart: the chart
#   make publish-image publish-chart REGISTRY=HOST/PATH: image for two architectures, signed, and chart
#   make clean     remove what the other targets made

is_new_enough = $(shell $(1) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(1))
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(call is_new_enough,$(python))) python3)
BIN := .venv/bin
ARGS ?=
CONTAINERS ?= docker
IMAGE ?= taskfleet:0.1.0
PLATFORMS ?= linux/amd64,linux/arm64
NODE_IMAGE ?=
REGISTRY ?=
TAG ?=
# What is compiled once is kept, also where the environment says not to: tests start our programs hundreds of times.
export PYTHONDONTWRITEBYTECODE :=
# Else docker before 23 takes its older builder, which makes every stage, Chromium's too, and writes no list of what is in
# the image; and a newer docker without buildx does the same where this makes it say what to install.
export DOCKER_BUILDKIT := 1
CHART = $(subst :,-,$(IMAGE)).tgz

.PHONY: help demo test check generate verify bench chaos image kind kind-cluster e2e wheel chart
.PHONY: check-version publish-image publish-chart registry clean venv-demo venv-dev
help:
	@sed -n 's/^#   //p' Makefile

venv-demo venv-dev: venv-%:
	@$(PYTHON) hack/setup_venv.py $*

demo: venv-demo
	@$(BIN)/python -m demo $(ARGS)

test: venv-dev
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal $(ARGS)

check: verify
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/actionlint

generate: venv-dev
	$(BIN)/python -m taskfleet.api.generate
	$(BIN)/python hack/generate_chart.py
	$(BIN)/python hack/generate_reference.py
	$(BIN)/python hack/generate_openapi.py

verify: venv-dev
	$(BIN)/python -m taskfleet.api.generate --check
	$(BIN)/python hack/generate_chart.py --check
	$(BIN)/python hack/generate_reference.py --check
	$(BIN)/python hack/generate_openapi.py --check

bench: venv-dev
	$(BIN)/python -m benchmarks $(ARGS)

chaos: venv-dev
	$(BIN)/python -m chaos $(ARGS)

image:
	$(CONTAINERS) build --tag $(IMAGE) --build-arg REVISION=$(shell git rev-parse HEAD) $(ARGS) .
	$(CONTAINERS) build --target sbom --output type=local,dest=dist $(ARGS) .

kind:
	@$(PYTHON) hack/kind.py --image $(IMAGE) --node-image "$(NODE_IMAGE)" $(ARGS)

kind-cluster:
	@$(PYTHON) hack/kind.py --image $(IMAGE) --node-image "$(NODE_IMAGE)" --cluster-only $(ARGS)

e2e: venv-dev
	$(BIN)/python -m pytest tests/e2e -s $(ARGS)

wheel: venv-dev
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

chart: venv-dev
	@mkdir -p dist
	$(BIN)/python -c "import helm_python; print(helm_python.package('charts/taskfleet', destination='dist'))"

check-version:
	@test "$(TAG)" = "v$(lastword $(subst :, ,$(IMAGE)))" || \
	  { echo "the tag $(TAG) is not that of this version, v$(lastword $(subst :, ,$(IMAGE)))" >&2; exit 2; }

registry:
	@test -n "$(REGISTRY)" || { echo "publish where? make $(MAKECMDGOALS) REGISTRY=registry.example.com/team" >&2; exit 2; }

# Built, listed (SBOM, provenance), pushed and signed by its digest: a tag may move, a digest cannot.
publish-image: registry
	@mkdir -p dist
	docker buildx build --platform $(PLATFORMS) --build-arg REVISION=$(shell git rev-parse HEAD) --sbom=true \
	  --provenance=mode=max --push --metadata-file dist/image.json --tag $(REGISTRY)/$(IMAGE) .
	cosign sign --yes "$(REGISTRY)/$(IMAGE)@$$($(PYTHON) -c \
	  "import json; print(json.load(open('dist/image.json'))['containerimage.digest'])")"

publish-chart: registry chart
	$(BIN)/python -c "import helm_python; helm_python.push('dist/$(CHART)', 'oci://$(REGISTRY)/charts')"
	@echo "published oci://$(REGISTRY)/charts/taskfleet"

clean:
	rm -rf .venv demo-output benchmarks/results.json benchmarks/.peers chaos/results.json build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
