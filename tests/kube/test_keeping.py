"""Of what the API server shows only that is kept which somebody looks at again."""

from typing import Any

from taskfleet.controller.cluster import keeping
from taskfleet.controller.cluster.cache import ObjectCache
from taskfleet.controller.cluster.writers import replicas_writer


def entry(manager: str, *fields: str) -> dict[str, Any]:
    return {"manager": manager, "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {key: {} for key in fields}}}


def deployment(*entries: dict[str, Any]) -> dict[str, Any]:
    meta = {"namespace": "team", "name": "a", "annotations": {"last": "applied"}, "managedFields": list(entries)}
    return {"metadata": meta, "spec": {"replicas": 3, "template": {"spec": {}}}, "status": {"readyReplicas": 2}}


def test_of_a_deployment_its_number_and_how_it_fares_are_kept() -> None:
    assert keeping.of_deployment(deployment()) == {
        "metadata": {"namespace": "team", "name": "a"},
        "spec": {"replicas": 3},
        "status": {"readyReplicas": 2},
    }


def test_of_all_that_is_noted_about_fields_only_another_writer_of_replicas_is_kept() -> None:
    ours = keeping.of_deployment(deployment(entry("taskfleet", "f:replicas"), entry("other", "f:x")))
    assert ("managedFields" in ours["metadata"], replicas_writer(ours)) == (False, "")
    theirs = keeping.of_deployment(deployment(entry("taskfleet", "f:x"), entry("kubectl", "f:replicas")))
    assert replicas_writer(theirs) == "kubectl"


def test_of_a_queue_the_status_is_kept_and_the_spec_is_the_models() -> None:
    queue = {"metadata": {"name": "q", "finalizers": ["f"]}, "spec": {"models": []}, "status": {"pending": 1}}
    assert keeping.of_custom_resource(queue) == {"metadata": queue["metadata"], "status": {"pending": 1}}
    assert queue["spec"] == {"models": []}, "who saw it still has all of it"


def test_of_a_service_its_labels_and_ports_are_kept() -> None:
    service = {"metadata": {"name": "s", "labels": {"app": "llm"}}, "spec": {"ports": [{"port": 1}], "clusterIP": "x"}}
    assert keeping.of_service(service) == {"metadata": service["metadata"], "spec": {"ports": [{"port": 1}]}}


def test_a_cache_keeps_what_it_is_told_to_of_every_version() -> None:
    cache = ObjectCache(keeping.of_autoscaler)
    meta = {"namespace": "team", "name": "h", "uid": "u", "annotations": {"a": "b"}}
    for version in ("1", "2"):
        cache.saw({"metadata": {**meta, "resourceVersion": version}, "spec": {"minReplicas": 1}})
        found = cache.get("team", "h")
        assert found is not None
        assert found["spec"] == {"minReplicas": 1}
        assert "annotations" not in found["metadata"]
