"""The gateway in the chart: off until it has keys, and then shared, watched and kept from ending all at once."""

from typing import Any

import pytest

from tests.support.chart import ALL_ON, NAMESPACE, Object, notes, of_kind, refusal, render

KEYS = {"existingSecret": "keys"}
ENDING = "-gateway"


def with_gateway(**values: Any) -> list[Object]:
    return render({"gateway": {"enabled": True, "keys": KEYS, **values}})


def gateway_pod(objects: list[Object]) -> Object:
    return dict(of_kind(objects, "Deployment", ENDING)["spec"]["template"]["spec"])


def test_as_the_chart_comes_there_is_none() -> None:
    assert not [each for each in render() if "gateway" in each["metadata"]["name"]]


def test_there_are_two_behind_a_service_and_nothing_leads_to_them_from_outside() -> None:
    objects = with_gateway()
    own = [each for each in objects if each["metadata"]["labels"].get("app.kubernetes.io/component") == "gateway"]
    assert sorted(each["kind"] for each in own) == [
        "Deployment",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Service",
    ]
    deployment, service = of_kind(objects, "Deployment", ENDING), of_kind(objects, "Service", ENDING)
    assert deployment["spec"]["replicas"] == 2
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        service["spec"]["selector"],
        of_kind(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        of_kind(objects, "NetworkPolicy", ENDING)["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector["app.kubernetes.io/component"] == "gateway"
        assert selector.items() <= labels.items()
    assert of_kind(objects, "NetworkPolicy", ENDING)["spec"]["ingress"] == [{"ports": [{"port": "http"}]}]


def test_it_knows_the_keys_of_the_secret_as_a_folder_so_that_a_change_reaches_it() -> None:
    pod = gateway_pod(with_gateway(keys={"existingSecret": "my-keys", "existingSecretKey": "all.yaml"}))
    (container,) = pod["containers"]
    assert "--keys=/keys/all.yaml" in container["args"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "keys"]
    assert mount == {"name": "keys", "mountPath": "/keys", "readOnly": True}
    assert {"name": "keys", "secret": {"secretName": "my-keys"}} in pod["volumes"]


def test_the_keys_of_endpoints_that_it_calls_itself_are_where_it_looks_for_them() -> None:
    (container,) = gateway_pod(with_gateway())["containers"]
    assert "--secrets=/secrets" not in container["args"]
    pod = gateway_pod(with_gateway(endpointSecrets=["openai", "other"]))
    (container,) = pod["containers"]
    assert "--secrets=/secrets" in container["args"]
    secrets = {each["name"]: each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each}
    mounts = {each["mountPath"]: secrets.get(each["name"]) for each in container["volumeMounts"]}
    for name in ("openai", "other"):
        assert mounts[f"/secrets/{NAMESPACE}/{name}"] == name


def test_with_a_certificate_it_serves_https_and_all_that_calls_it_knows() -> None:
    values = {"existingSecret": "certificate"}
    objects = render({**ALL_ON, "gateway": {**ALL_ON["gateway"], "tls": values}})
    pod = gateway_pod(objects)
    (container,) = pod["containers"]
    assert {"--tls-cert=/tls/tls.crt", "--tls-key=/tls/tls.key"} <= set(container["args"])
    assert {"name": "tls", "mountPath": "/tls", "readOnly": True} in container["volumeMounts"]
    assert {"name": "tls", "secret": {"secretName": "certificate"}} in pod["volumes"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["name"]
    (port,) = of_kind(objects, "Service", ENDING)["spec"]["ports"]
    assert (port["name"], port["targetPort"], port["appProtocol"]) == ("https", "https", "https")
    (scraped,) = of_kind(objects, "ServiceMonitor", ENDING)["spec"]["endpoints"]
    assert (scraped["port"], scraped["scheme"]) == ("https", "https")
    (path,) = of_kind(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["port"]["name"] == "https"
    assert of_kind(objects, "NetworkPolicy", ENDING)["spec"]["ingress"] == [{"ports": [{"port": "https"}]}]
    assert "https://taskfleet-gateway" in notes({"gateway": {"enabled": True, "keys": KEYS, "tls": values}})


def test_it_reads_the_webhooks_of_a_secret_as_a_folder_so_that_a_change_reaches_it() -> None:
    assert "--webhooks" not in str(gateway_pod(with_gateway()))
    pod = gateway_pod(with_gateway(webhooks={"existingSecret": "hooks", "existingSecretKey": "all.yaml"}))
    (container,) = pod["containers"]
    assert "--webhooks=/webhooks/all.yaml" in container["args"]
    assert {"name": "webhooks", "mountPath": "/webhooks", "readOnly": True} in container["volumeMounts"]
    assert {"name": "webhooks", "secret": {"secretName": "hooks"}} in pod["volumes"]


def test_it_has_no_account_of_the_cluster_and_reaches_the_store() -> None:
    deployment = of_kind(with_gateway(), "Deployment", ENDING)
    pod = deployment["spec"]["template"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["metadata"]["labels"]["taskfleet.dev/store-access"] == "true"
    assert "TASKFLEET_STORE_URL" in {each["name"] for each in pod["spec"]["containers"][0]["env"]}


def test_a_pod_that_goes_has_time_for_its_last_callers_and_for_what_it_answers() -> None:
    pod = gateway_pod(with_gateway(gracePeriodSeconds=300))
    (container,) = pod["containers"]
    assert "--grace=300" in container["args"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > 300 + before
    strategy = of_kind(with_gateway(), "Deployment", ENDING)["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize(
    ("persistence", "volume"),
    [
        ({}, {"persistentVolumeClaim": {"claimName": "taskfleet-gateway-files"}}),
        ({"existingClaim": "mine"}, {"persistentVolumeClaim": {"claimName": "mine"}}),
    ],
)
def test_batch_files_are_in_a_volume_that_all_gateways_share(persistence: Object, volume: Object) -> None:
    objects = with_gateway(files={"persistence": persistence})
    assert {"name": "files", **volume} in gateway_pod(objects)["volumes"]
    claims = [each for each in objects if each["kind"] == "PersistentVolumeClaim"]
    assert [each["spec"]["accessModes"] for each in claims] == ([] if persistence else [["ReadWriteMany"]])
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in claims)


def test_a_single_gateway_may_have_a_volume_of_its_node_or_none() -> None:
    objects = with_gateway(replicas=1, files={"persistence": {"accessMode": "ReadWriteOnce", "storageClass": "disk"}})
    claim = of_kind(objects, "PersistentVolumeClaim")["spec"]
    assert (claim["accessModes"], claim["storageClassName"]) == (["ReadWriteOnce"], "disk")
    assert "PodDisruptionBudget" not in {each["kind"] for each in objects}
    lost = {"gateway": {"enabled": True, "keys": KEYS, "replicas": 1, "files": {"persistence": {"enabled": False}}}}
    assert {"name": "files", "emptyDir": {"sizeLimit": "20Gi"}} in gateway_pod(render(lost))["volumes"]
    assert "are lost with the gateway's pod" in notes(lost)


def test_an_autoscaler_decides_on_replicas_alone() -> None:
    objects = with_gateway(autoscaling={"enabled": True, "minReplicas": 3, "maxReplicas": 9})
    autoscaler = of_kind(objects, "HorizontalPodAutoscaler")["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (3, 9)
    deployment = of_kind(objects, "Deployment", ENDING)
    assert autoscaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]


def test_from_outside_only_the_api_is_reached() -> None:
    objects = render(ALL_ON)
    (rule,) = of_kind(objects, "Ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("llm.example", "/v1", "Prefix")
    (route,) = of_kind(objects, "HTTPRoute")["spec"]["rules"]
    assert route["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    service = of_kind(objects, "Service", ENDING)["metadata"]["name"]
    assert path["backend"]["service"]["name"] == route["backendRefs"][0]["name"] == service


def test_the_console_is_reached_from_outside_when_that_is_wanted_and_can_be_switched_off() -> None:
    ways = {
        "ingress": {"enabled": True, "host": "llm.example"},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "edge"}]},
    }
    objects = with_gateway(console={"exposed": True}, **ways)
    (rule,) = of_kind(objects, "Ingress")["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/v1", "/console"]
    (route,) = of_kind(objects, "HTTPRoute")["spec"]["rules"]
    assert [match["path"]["value"] for match in route["matches"]] == ["/v1", "/console"]
    off = with_gateway(console={"enabled": False, "exposed": True}, **ways)
    (rule,) = of_kind(off, "Ingress")["spec"]["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/v1"]
    assert "--no-console" in gateway_pod(off)["containers"][0]["args"]
    assert "--no-console" not in gateway_pod(objects)["containers"][0]["args"]


def test_an_ingress_with_a_certificate_serves_its_host_by_tls() -> None:
    ingress = {"enabled": True, "host": "llm.example", "tlsSecret": "cert", "className": "nginx"}
    made = of_kind(with_gateway(ingress=ingress), "Ingress")["spec"]
    assert made["tls"] == [{"secretName": "cert", "hosts": ["llm.example"]}]
    assert made["ingressClassName"] == "nginx"
    assert "https://llm.example/v1" in notes({"gateway": {"enabled": True, "keys": KEYS, "ingress": ingress}})


def test_the_notes_say_where_it_is() -> None:
    told = notes({"gateway": {"enabled": True, "keys": KEYS}})
    assert f"http://taskfleet-gateway.{NAMESPACE}:8420/v1" in told
    assert "ReadWriteMany" in told


GUARDS: list[tuple[Any, str]] = [
    ({"keys": {"existingSecret": ""}}, "gateway.keys.existingSecret is empty: without API keys"),
    ({"files": {"persistence": {"enabled": False}}}, "each would know only the batch files that came to it"),
    ({"files": {"persistence": {"accessMode": "ReadWriteOnce"}}}, "accessMode is ReadWriteOnce and there are several"),
    (
        {"replicas": 1, "autoscaling": {"enabled": True}, "files": {"persistence": {"accessMode": "ReadWriteOnce"}}},
        "accessMode is ReadWriteOnce and there are several",
    ),
    (
        {"replicas": 1, "files": {"persistence": {"enabled": False, "existingClaim": "c"}}},
        "gateway.files.persistence.existingClaim names a volume",
    ),
    (
        {"files": {"persistence": {"existingClaim": "c", "storageClass": "s"}}},
        "gateway.files.persistence.storageClass is for a new volume",
    ),
    (
        {"files": {"s3": {"bucket": "b12"}, "persistence": {"existingClaim": "c"}}},
        "gateway.files.s3.bucket says that batch files are in a bucket",
    ),
    ({"files": {"s3": {"prefix": "a"}}}, "gateway.files.s3.bucket names no bucket"),
    ({"files": {"s3": {"bucket": "No_Bucket"}}}, "/gateway/files/s3/bucket"),
    ({"ingress": {"enabled": True}}, "gateway.ingress.host is empty"),
    ({"httpRoute": {"enabled": True}}, "gateway.httpRoute.parentRefs is empty"),
    (
        {"autoscaling": {"enabled": True, "minReplicas": 4, "maxReplicas": 3}},
        "gateway.autoscaling.minReplicas (4) is more than gateway.autoscaling.maxReplicas (3)",
    ),
    (
        {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
        "gateway.resources.requests.cpu is not set",
    ),
    ({"enabled": False}, "There are values for the gateway, and gateway.enabled is false"),
    ({"replicas": 0}, "/gateway/replicas"),
    ({"queue": "demo"}, "/gateway/queue"),
    ({"keys": {"existingSecret": "My Keys"}}, "/gateway/keys/existingSecret"),
    ({"keys": {"values": ["tf-secret"]}}, "additional properties 'values' not allowed"),
    ({"files": {"persistence": {"accessMode": "Shared"}}}, "/gateway/files/persistence/accessMode"),
    ({"service": {"type": "ExternalName"}}, "/gateway/service/type"),
    ({"ingress": {"enabled": True, "host": "a b"}}, "/gateway/ingress/host"),
    ({"gracePeriodSeconds": 0}, "/gateway/gracePeriodSeconds"),
    ({"extraEnv": [{"name": "TASKFLEET_STORE_URL", "value": "x"}]}, "/gateway/extraEnv/0/name"),
]


@pytest.mark.parametrize(("values", "sentence"), GUARDS, ids=[sentence[:50] for _, sentence in GUARDS])
def test_what_would_not_work_is_refused_before_anything_is_installed(values: Object, sentence: str) -> None:
    assert sentence in refusal({"gateway": {"enabled": True, "keys": KEYS, **values}})


def test_batch_files_may_be_in_a_bucket_in_place_of_a_volume() -> None:
    bucket = {
        "bucket": "batches",
        "prefix": "team/a",
        "endpoint": "https://s3.example:9000",
        "existingSecret": "s3-key",
    }
    objects = with_gateway(files={"s3": bucket})
    pod = gateway_pod(objects)
    (container,) = pod["containers"]
    assert "--files=s3://batches/team/a" in container["args"]
    env = {each["name"]: each.get("value") or each["valueFrom"]["secretKeyRef"] for each in container["env"]}
    assert (env["AWS_ENDPOINT_URL"], env["AWS_REGION"]) == ("https://s3.example:9000", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert env[name] == {"name": "s3-key", "key": name}
    assert not [each for each in pod["volumes"] if each["name"] == "files"]
    assert "PersistentVolumeClaim" not in {each["kind"] for each in objects}


def test_a_bucket_of_aws_needs_no_endpoint_and_no_key() -> None:
    pod = gateway_pod(with_gateway(files={"s3": {"bucket": "batches", "region": "eu-central-1"}}))
    (container,) = pod["containers"]
    assert "--files=s3://batches" in container["args"]
    names = {each["name"] for each in container["env"] if each["name"].startswith("AWS_")}
    assert names == {"AWS_REGION"}
