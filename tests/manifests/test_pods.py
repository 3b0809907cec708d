"""What the pods of `manifests/` may do, and where their secrets come from."""

import re
from typing import Any

import pytest

from tests.manifests.rendering import MANIFESTS, Manifest, everything, find, pod_of, rendered, rendered_text

WORKLOADS = [
    m for m in everything() if m["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")
]
each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda m: m["metadata"]["name"])


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


@each_workload
def test_pods_keep_to_the_restricted_standard_of_the_namespace(workload: Manifest) -> None:
    pod = pod_of(workload)

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    allowed = {"name", "configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected"}
    assert all(volume.keys() <= allowed for volume in pod["volumes"])
    for container in containers(pod):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not any("hostPort" in port for port in container.get("ports", []))


@each_workload
def test_pods_say_what_they_need_and_hold_no_token(workload: Manifest) -> None:
    pod = pod_of(workload)

    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in containers(pod):
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} >= {"/tmp"}
    for container in pod["containers"]:
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_no_secret_is_shipped() -> None:
    assert not [m for m in everything() if m["kind"] == "Secret"]
    for name, value in secret_variables():
        assert value.keys() == {"secretKeyRef"}, name


def secret_variables() -> list[tuple[str, Any]]:
    """Return the variables whose names sound secret, with where their values come from."""
    found = [
        (variable["name"], variable.get("valueFrom", {"value": variable.get("value")}))
        for workload in WORKLOADS
        for container in containers(pod_of(workload))
        for variable in container.get("env", [])
        if re.search(r"PASSWORD$|SECRET|ACCESS_KEY|TOKEN", variable["name"])
    ]
    assert len(found) == 4
    return found


def test_the_secrets_that_are_needed_are_those_that_the_text_makes() -> None:
    text = (MANIFESTS / "mlflow" / "kustomization.yaml").read_text().replace("\\\n#", "")
    assert text.count("-n tunegate-tracking ") == text.count("create secret") == 2
    made = {
        name: set(re.findall(r"--from-literal=([a-z-]+)=", line))
        for line in text.splitlines()
        for name in re.findall(r"create secret generic (\S+)", line)
    }
    needed: dict[str, set[str]] = {}
    for workload in WORKLOADS:
        pod = pod_of(workload)
        for _, value in secret_variables():
            needed.setdefault(value["secretKeyRef"]["name"], set()).add(value["secretKeyRef"]["key"])
        for volume in pod["volumes"]:
            if "secret" in volume:
                keys = {item["key"] for item in volume["secret"]["items"]}
                needed.setdefault(volume["secret"]["secretName"], set()).update(keys)

    assert made == needed


def test_mlflow_finds_its_database_by_the_name_of_its_service() -> None:
    (settings,) = [m for m in rendered("mlflow") if m["kind"] == "ConfigMap"]
    database = find("mlflow", "StatefulSet", "mlflow-database")
    variables = {v["name"]: v.get("value") for v in pod_of(database)["containers"][0]["env"]}

    assert settings["data"]["PGHOST"] == find("mlflow", "Service", "mlflow-database")["metadata"]["name"]
    assert settings["data"]["PGHOST"] == database["spec"]["serviceName"]
    assert settings["data"]["PGUSER"] == variables["POSTGRES_USER"]
    assert settings["data"]["PGDATABASE"] == variables["POSTGRES_DB"]


def test_mlflow_answers_to_the_address_that_clients_are_told() -> None:
    (settings,) = [m for m in rendered("mlflow") if m["kind"] == "ConfigMap"]
    text = (MANIFESTS / "mlflow" / "kustomization.yaml").read_text()
    told = re.search(r"MLFLOW_TRACKING_URI=http://(\S+)", text)

    assert told and told[1] in settings["data"]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    service = find("mlflow", "Service", "mlflow")
    where = service["metadata"]
    assert told[1] == f"{where['name']}.{where['namespace']}:{service['spec']['ports'][0]['port']}"


def test_a_changed_setting_starts_the_server_anew() -> None:
    (settings,) = [m for m in rendered("mlflow") if m["kind"] == "ConfigMap"]

    assert settings["metadata"]["name"] != "mlflow-settings"  # it carries a hash of its content
    assert rendered_text("mlflow").count(settings["metadata"]["name"]) == 3


def test_serving_comes_before_training_and_training_before_batch() -> None:
    value = {m["metadata"]["name"]: m["value"] for m in rendered("priorities")}

    assert value["tunegate-serving"] > value["tunegate-training"] > value["tunegate-batch"] > 0
    assert max(value.values()) < 1_000_000_000  # above that is the cluster's own
    assert not any(m.get("globalDefault") for m in rendered("priorities"))
