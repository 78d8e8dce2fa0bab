"""The boards: well made, over what the code exports, and full when a real Prometheus scrapes a real run."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from prometheus_client import CollectorRegistry

from taskfleet.core.task import QueueKey
from taskfleet.gateway.service import GatewayOptions, gateway
from taskfleet.store import Store
from taskfleet.telemetry.leadermetrics import LeaderMetrics
from taskfleet.telemetry.server import status_server
from tests.chart.exported import complaints, series
from tests.controller.control import controlling, task_queue, worker_pool
from tests.support.chart import CHART, Object
from tests.support.modelstub import ModelStub
from tests.support.prometheus import prometheus, promtool
from tests.support.promql import VARIABLES, plain, selectors
from tests.support.waiting import eventually
from tests.support.workerprocess import MODEL, prompts, worker_process

BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((CHART / "dashboards").glob("*.json"))}
NAMES = list(BOARDS)


def queries(board: Object) -> Iterator[tuple[str, str]]:
    """Each query with the title of its panel."""
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize("name", NAMES)
def test_a_board_asks_for_what_is_exported(name: str) -> None:
    found = {title: complaints(expression) for title, expression in queries(BOARDS[name])}
    assert {title: told for title, told in found.items() if told} == {}


def test_whatever_is_exported_is_shown_on_a_board() -> None:
    asked = {each.metric for board in BOARDS.values() for _, query in queries(board) for each in selectors(query)}
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in series()}
    assert families - {re.sub("_(bucket|count|sum)$", "", name) for name in asked} == set()


def test_what_kedas_sample_asks_of_prometheus_is_exported_and_it_scales_the_pool_beside_it() -> None:
    served, pool, scaled = yaml.safe_load_all((CHART.parents[1] / "manifests/samples/keda.yaml").read_text())
    (trigger,) = scaled["spec"]["triggers"]
    name = served["metadata"]["name"]
    query = trigger["metadata"]["query"].replace(f'pool="{name}"', 'pool="p"')
    assert complaints(query.replace('namespace="default"', 'namespace="n"')) == []
    of_pool = {"apiVersion": pool["apiVersion"], "kind": pool["kind"], "name": pool["metadata"]["name"]}
    assert scaled["spec"]["scaleTargetRef"] == of_pool
    assert pool["spec"]["autoscaling"] == {"mode": "External", "maxWorkers": scaled["spec"]["maxReplicaCount"]}


@pytest.mark.parametrize("name", NAMES)
def test_a_boards_variables_are_lists_of_what_there_is(name: str) -> None:
    for variable in BOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert asked is not None
            assert complaints(plain(f"sum by ({asked[2]}) ({asked[1]})")) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_board_can_be_imported_anywhere_and_its_panels_do_not_overlap(name: str) -> None:
    board = BOARDS[name]
    assert board["uid"] == f"taskfleet-{name}"
    assert board["templating"]["list"][0]["name"] == "datasource"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        where = panel["gridPos"]
        assert where["x"] + where["w"] <= 24
        cells = {(where["x"] + x, where["y"] + y) for x in range(where["w"]) for y in range(where["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_links_lead_to_boards_that_there_are() -> None:
    text = json.dumps(list(BOARDS.values()))
    linked = set(re.findall(r"/d/([a-z-]+)", text))
    assert linked == {"taskfleet-queue", "taskfleet-pool"}
    assert linked <= {board["uid"] for board in BOARDS.values()}


def test_promtool_takes_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": plain(expression)}
        for number, (_, expression) in enumerate(each for board in BOARDS.values() for each in queries(board))
    ]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", "queries.yaml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_every_panel_has_data_when_prometheus_scrapes_a_run(
    store: Store, queue: QueueKey, store_url: str, stub_model: ModelStub, tmp_path: Path
) -> None:
    """A reconciler, a gateway and a worker process, all real, on a real store."""
    limited = {"rateLimit": {"requestsPerMinute": 6000, "tokensPerMinute": 600000}}
    async with controlling(store_url) as control:
        control.reconciler.set_queue(task_queue(queue.name, models=MODEL))
        control.reconciler.set_pool(worker_pool(queue.name, stub_model.url, models=MODEL, endpoints={"stub": limited}))
        await control.at_rest()
        registry = CollectorRegistry()
        LeaderMetrics(registry).show(control.registry)
        served = status_server(registry=registry, ready=lambda: "", port=0, setting="--port", host="127.0.0.1")
        worker = worker_process(store_url, queue, stub_model.url, port="0", endpoint=limited)
        options = GatewayOptions(store_url, "127.0.0.1", 0, "--port", queue.namespace, queue, None, tmp_path / "files")
        async with served as port, gateway(options) as serving, httpx.AsyncClient(base_url=serving.url) as client:
            ports = [port, urlsplit(serving.url).port or 0]
            with worker as process, prometheus([*ports, await process.port()], tmp_path) as server:
                wanted = {
                    f"{name}: {title}: {expression}": plain(expression, VARIABLES | {"$__rate_interval": "5s"})
                    for name, board in BOARDS.items()
                    for title, expression in queries(board)
                }
                number = 0

                async def all_have_data() -> bool:
                    nonlocal number
                    await store.submit(queue, prompts(*(f"t{number}-{each}" for each in range(3))))
                    number += 1
                    asked = {"messages": [{"role": "user", "content": f"call {number}"}]}
                    assert (await client.post("/v1/chat/completions", json=asked)).status_code == 200
                    assert (await client.get("/v1/models")).status_code == 200
                    for panel, expression in list(wanted.items()):
                        samples = server.query(expression)
                        if samples and all(sample["value"][1] != "NaN" for sample in samples):
                            del wanted[panel]
                    return not wanted

                # A rate needs the value before: a pool wakes from zero only once here.
                seen = "taskfleet_scale_reaction_seconds_count == 0"
                await eventually(lambda: server.query(seen), "the first scrape of a pool that sleeps", timeout=20)
                try:
                    await eventually(all_have_data, "data in every panel", timeout=20)
                except AssertionError as error:
                    raise AssertionError(f"{error}; none in {sorted(wanted)}") from None
