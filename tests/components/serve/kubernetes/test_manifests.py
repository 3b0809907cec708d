"""The objects of a deployment, checked against the schemas of Kubernetes 1.32 and of the newest."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from components.errors import InvalidInput
from components.serve.kubernetes.engine_pod import AdapterSource
from components.serve.kubernetes.manifests import (
    deployment_manifests,
    live_service,
    scale_manifest,
    service_name,
)
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings, load_cluster_settings
from tests.components.serve.specs import spec_of

VERSIONS = ["1.32", kubernetes_validate.latest_version()]
COMMAND = ["python", "-m", "engine"]


@pytest.fixture
def spec() -> ServingSpec:
    return spec_of(base_model="org/model@abc")


def settings(**changes: Any) -> ClusterSettings:
    return ClusterSettings(control_image="reg.example/control", serve_image="reg.example/serve", **changes)


EVERYTHING = {
    "api_keys_secret": "keys",
    "cache_claim": "models",
    "registry_secret": "pull",
    "hub_secret": "hub",
    "engine_env": {"HF_ENDPOINT": "https://mirror.example", "NO_PROXY": ".svc"},
    "image_pull_secrets": ["pull"],
    "egress": ["203.0.113.0/24", "2001:db8::/32"],
    "api_server": ["10.96.0.1/32"],
    "client_namespaces": {"team": "support"},
    "monitoring_namespaces": {"kubernetes.io/metadata.name": "monitoring"},
    "priority_class": "serving",
    "gpu_type": "NVIDIA-L4",
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("source", ["init-container", "image-volume"])
@pytest.mark.parametrize("changes", [{}, {"gpus": 0}, EVERYTHING], ids=["defaults", "cpu", "everything"])
def test_what_is_applied_is_valid(
    spec: ServingSpec, version: str, source: AdapterSource, changes: dict[str, Any]
) -> None:
    manifests = deployment_manifests(spec, settings(**changes), COMMAND, source)

    for manifest in [*manifests, live_service(spec, "tunegate")]:
        kubernetes_validate.validate(manifest, version, strict=True)


def pods(spec: ServingSpec, source: AdapterSource = "init-container", **changes: Any) -> list[dict[str, Any]]:
    manifests = deployment_manifests(spec, settings(**changes), COMMAND, source)
    return [m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "Deployment"]


def test_nothing_runs_with_more_rights_than_it_needs(spec: ServingSpec) -> None:
    for pod in pods(spec):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["enableServiceLinks"]
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]
    engine, router = pods(spec)
    assert not engine["automountServiceAccountToken"]
    assert router["serviceAccountName"] == "tunegate-router"


# The Pod Security standard "restricted": what a pod may mount.
RESTRICTED_VOLUMES = {"configMap", "emptyDir", "image", "persistentVolumeClaim", "projected", "secret"}


@pytest.mark.parametrize("source", ["init-container", "image-volume"])
def test_pods_fit_the_restricted_security_standard(spec: ServingSpec, source: AdapterSource) -> None:
    for pod in pods(spec, source, **EVERYTHING):
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] != 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert {kind for volume in pod["volumes"] for kind in set(volume) - {"name"}} <= RESTRICTED_VOLUMES
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            security = container["securityContext"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in security
            assert all("hostPort" not in port for port in container.get("ports", []))


def test_an_image_volume_is_mounted_by_digest_and_verified(spec: ServingSpec) -> None:
    engine = pods(spec, "image-volume", registry_secret="pull", image_pull_secrets=["pull"])[0]
    (adapter,) = [volume for volume in engine["volumes"] if volume["name"] == "adapter"]

    assert adapter["image"]["reference"] == spec.image
    (check,) = engine["initContainers"]
    assert check["command"][-1] == "verify"
    for container in (check, *engine["containers"]):
        (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "adapter"]
        variables = {v["name"]: v["value"] for v in container["env"]}
        assert mount["readOnly"]
        assert variables["TUNEGATE_ADAPTER"] == f"{mount['mountPath']}/data"
    # The node pulls it: credentials for that are the pod's, and nothing in it sees them.
    assert engine["imagePullSecrets"] == [{"name": "pull"}]
    assert "registry" not in {volume["name"] for volume in engine["volumes"]}


def test_a_fetched_adapter_is_where_the_engine_looks_for_it(spec: ServingSpec) -> None:
    engine = pods(spec, "init-container", registry_secret="pull")[0]
    (fetch,) = engine["initContainers"]
    (server,) = engine["containers"]
    places = [{v["name"]: v["value"] for v in c["env"]}["TUNEGATE_ADAPTER"] for c in (fetch, server)]

    assert fetch["command"][-1] == "fetch"
    assert places == ["/adapter/files"] * 2
    (mount,) = [mount for mount in fetch["volumeMounts"] if mount["name"] == "registry"]
    assert mount["readOnly"]


def test_gpus_are_asked_for_where_replicas_have_some(spec: ServingSpec) -> None:
    with_gpus, without = (pods(spec, gpus=gpus)[0]["containers"][0] for gpus in (2, 0))

    assert with_gpus["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert "nvidia.com/gpu" not in without["resources"]["limits"]
    devices = [{v["name"]: v["value"] for v in c["env"]}["TUNEGATE_DEVICE"] for c in (with_gpus, without)]
    assert devices == ["cuda", "cpu"]


def test_a_kind_of_gpu_is_a_label_of_its_nodes(spec: ServingSpec) -> None:
    engine = pods(spec, **EVERYTHING)[0]

    assert engine["nodeSelector"] == {"pool": "gpu", "nvidia.com/gpu.product": "NVIDIA-L4"}
    assert engine["tolerations"] == EVERYTHING["tolerations"]


def test_keys_come_from_a_secret_that_only_engines_see(spec: ServingSpec) -> None:
    engine, router = pods(spec, api_keys_secret="keys")
    (container,) = engine["containers"]
    variables = {v["name"]: v["value"] for v in container["env"]}

    assert {"name": "api-keys", "secret": {"secretName": "keys"}} in engine["volumes"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "api-keys"]
    assert mount == {"name": "api-keys", "mountPath": variables["TUNEGATE_API_KEYS"], "readOnly": True}
    assert "api-keys" not in json.dumps([engine["initContainers"], router])
    assert "TUNEGATE_API_KEYS" not in json.dumps(pods(spec))


def test_the_token_of_the_hub_comes_from_a_secret_that_only_engines_see(spec: ServingSpec) -> None:
    engine, router = pods(spec, hub_secret="hub")
    (container,) = engine["containers"]
    (token,) = [variable for variable in container["env"] if variable["name"] == "HF_TOKEN"]

    assert token["valueFrom"] == {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN"}}
    assert "HF_TOKEN" not in json.dumps([engine["initContainers"], router])
    assert "HF_TOKEN" not in json.dumps(pods(spec))


def test_whoever_sends_out_of_an_engines_pod_has_the_variables_for_it(spec: ServingSpec) -> None:
    proxy = {"HTTPS_PROXY": "http://proxy.example:3128", "HF_HOME": "/cache/hub"}
    engine, router = pods(spec, engine_env=proxy, hub_secret="hub")

    for container in (*engine["initContainers"], *engine["containers"]):
        names = [variable["name"] for variable in container["env"]]
        assert len(names) == len(set(names))
        assert proxy.items() <= {v["name"]: v.get("value") for v in container["env"]}.items()
    assert "proxy.example" not in json.dumps(router)


def test_one_monitor_finds_the_metrics_of_every_pod(spec: ServingSpec) -> None:
    """By labels and names of ports alone; a name leads to metrics wherever it is found."""
    found = set()
    for manifest in deployment_manifests(spec, settings(), COMMAND):
        if manifest["kind"] != "Deployment":
            continue
        template = manifest["spec"]["template"]
        carried = template["metadata"]["labels"]
        assert carried["app.kubernetes.io/managed-by"] == "tunegate"
        assert (carried["app.kubernetes.io/instance"], carried["tunegate.io/model"]) == ("pet-r1", "pet")
        for container in template["spec"]["containers"]:
            found |= {
                (carried["app.kubernetes.io/component"], p["name"], p["containerPort"])
                for p in container["ports"]
            }

    assert found == {("engine", "http", 8000), ("router", "requests", 8000), ("router", "metrics", 29000)}


def test_a_priority_is_that_of_every_pod(spec: ServingSpec) -> None:
    assert [pod["priorityClassName"] for pod in pods(spec, priority_class="serving")] == ["serving"] * 2
    assert all("priorityClassName" not in pod for pod in pods(spec))


def test_a_pod_has_time_to_finish_what_it_has_begun(spec: ServingSpec) -> None:
    engine = pods(spec, drain_s=90)[0]
    variables = {v["name"]: v["value"] for v in engine["containers"][0]["env"]}

    assert engine["terminationGracePeriodSeconds"] == 90
    assert float(variables["TUNEGATE_DRAIN_S"]) < 90
    (router,) = pods(spec, drain_s=90)[1]["containers"]
    told = dict(part.split("=", 1) for part in router["command"] if "=" in part)
    assert 60 < float(told["--drain-s"]) < 90
    assert 0 < float(told["--quiet-s"]) < float(told["--drain-s"]) / 2


def test_a_router_knows_how_much_its_model_reads_and_is_probed_at_its_inner_port(spec: ServingSpec) -> None:
    (router,) = pods(spec)[1]["containers"]

    assert f"--max-model-len={spec.max_model_len}" in router["command"]
    assert importlib.util.find_spec(router["command"][2]) is not None
    for probe in ("readinessProbe", "livenessProbe"):
        assert router[probe]["httpGet"]["port"] == "metrics"


def test_what_has_stopped_answering_is_started_again(spec: ServingSpec) -> None:
    """After half a minute or more: a server that is only busy must not be taken for a dead one."""
    engine, router = (pod["containers"][0] for pod in pods(spec))

    for container, path in ((engine, "/health"), (router, "/live")):
        probe = container["livenessProbe"]
        assert probe["httpGet"]["path"] == path
        assert probe["httpGet"]["port"] in {port["name"] for port in container["ports"]}
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 30
    # Only after its start-up probe has succeeded is an engine asked; a router has none.
    assert "startupProbe" in engine and router["livenessProbe"]["initialDelaySeconds"] >= 30


def test_the_pods_of_a_kind_are_spread_over_nodes_where_there_are_several(spec: ServingSpec) -> None:
    for manifest in deployment_manifests(spec, settings(), COMMAND):
        if manifest["kind"] != "Deployment":
            continue
        (spread,) = manifest["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["topologyKey"] == "kubernetes.io/hostname"
        assert (spread["maxSkew"], spread["whenUnsatisfiable"]) == (1, "ScheduleAnyway")
        assert spread["labelSelector"] == manifest["spec"]["selector"]


def test_an_engine_has_memory_to_share_between_its_processes(spec: ServingSpec) -> None:
    engine = pods(spec, shared_memory="3Gi")[0]
    (mount,) = [m for m in engine["containers"][0]["volumeMounts"] if m["mountPath"] == "/dev/shm"]
    (volume,) = [volume for volume in engine["volumes"] if volume["name"] == mount["name"]]

    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "3Gi"}
    assert not mount.get("readOnly")


@pytest.mark.parametrize(
    ("changes", "volume"),
    [
        ({"cache_claim": "models"}, {"persistentVolumeClaim": {"claimName": "models"}}),
        ({}, {"emptyDir": {}}),
    ],
    ids=["claim", "of the pod"],
)
def test_models_and_compiled_kernels_are_kept_on_the_cache_volume(
    spec: ServingSpec, changes: dict[str, Any], volume: dict[str, Any]
) -> None:
    engine = pods(spec, **changes)[0]
    (container,) = engine["containers"]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "cache"]
    variables = {v["name"]: v["value"] for v in container["env"]}

    assert {"name": "cache", **volume} in engine["volumes"]
    assert not mount.get("readOnly")
    caches = ("HF_HOME", "VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "TUNEGATE_HOME")
    folders = {variables[name] for name in caches}
    assert len(folders) == len(caches)
    assert {str(Path(folder).parent) for folder in folders} == {mount["mountPath"]}


def test_two_releases_share_no_name_and_no_pod(spec: ServingSpec) -> None:
    other = spec.model_copy(update={"name": "pet-r2"})
    first, second = (deployment_manifests(s, settings(), COMMAND) for s in (spec, other))

    names = [{(m["kind"], m["metadata"]["name"]) for m in manifests} for manifests in (first, second)]
    assert len(names[0]) == len(first)
    assert not names[0] & names[1]
    selectors = [json.dumps(m["spec"].get("selector") or m["spec"]["podSelector"]) for m in (*first, *second)]
    assert all("pet-r1" in chosen for chosen in selectors[: len(first)])
    assert all("pet-r2" in chosen for chosen in selectors[len(first) :])


def test_the_number_of_engines_is_applied_by_itself(spec: ServingSpec) -> None:
    engines = deployment_manifests(spec, settings(), COMMAND)[0]

    assert "replicas" not in engines["spec"]
    assert scale_manifest("pet-r1", "tunegate", 3)["spec"] == {"replicas": 3}


@pytest.mark.parametrize(
    ("model_name", "name"),
    [("pet", "pet"), ("7b-pet", "m7b-pet"), ("7" * 63, "m" + "7" * 62)],
    ids=["letter", "digit", "long"],
)
def test_services_have_names_that_services_may_have(spec: ServingSpec, model_name: str, name: str) -> None:
    named = spec.model_copy(update={"name": model_name, "model_name": model_name})
    manifests = deployment_manifests(named, settings(), COMMAND)

    assert service_name(model_name) == name
    assert [m["metadata"]["name"] for m in manifests if m["kind"] == "Service"] == [name]


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, state: Path) -> None:
    monkeypatch.setenv("TUNEGATE_CLUSTER_CONTROL_IMAGE", "reg/control")
    monkeypatch.setenv("TUNEGATE_CLUSTER_SERVE_IMAGE", "reg/serve")
    monkeypatch.setenv("TUNEGATE_CLUSTER_NODE_SELECTOR", '{"pool": "gpu"}')

    assert load_cluster_settings().node_selector == {"pool": "gpu"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("GPUS", "-1", "TUNEGATE_CLUSTER_GPUS: got '-1'"),
        ("MEMORY", "16 GB", "TUNEGATE_CLUSTER_MEMORY: got '16 GB'"),
        ("TOLERATIONS", "none", "wanted JSON"),
        ("EGRESS", '["registry.example"]', "TUNEGATE_CLUSTER_EGRESS.0: got 'registry.example'.*network"),
        ("ENGINE_ENV", '{"HF_TOKEN": "hf_1"}', "got 'HF_TOKEN', .*; name that one in hub_secret$"),
        ("ENGINE_ENV", '{"TUNEGATE_DEVICE": "cpu"}', "got 'TUNEGATE_DEVICE', .*; leave it out"),
        ("ENGINE_ENV", '{"NO PROXY": ".svc"}', "got 'NO PROXY', wanted the name of an environment variable"),
    ],
    ids=["GPUs", "memory", "JSON", "address range", "token", "own variable", "no variable"],
)
def test_wrong_settings_are_named(
    name: str, value: str, words: str, monkeypatch: pytest.MonkeyPatch, state: Path
) -> None:
    monkeypatch.setenv("TUNEGATE_CLUSTER_SERVE_IMAGE", "reg/serve")
    monkeypatch.setenv("TUNEGATE_CLUSTER_CONTROL_IMAGE", "reg/control")
    monkeypatch.setenv(f"TUNEGATE_CLUSTER_{name}", value)

    with pytest.raises(InvalidInput, match=words):
        load_cluster_settings()
