"""Pods that whoever releases could make to get at what isn't theirs: each meets the rule meant for it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from components.serve.kubernetes.engine_pod import AdapterSource
from components.serve.kubernetes.manifests import deployment_manifests
from components.settings import ClusterSettings
from tests.manifests.admission import policy, refusals
from tests.manifests.rendering import SPEC, Manifest, everything, find, matches, pod_of, rendered, served

OURS = "tunegate"
SECRETS = {
    "api_keys_secret": "tunegate-keys",
    "hub_secret": "tunegate-credentials",
    "registry_secret": "tunegate-registry",
    "image_pull_secrets": ["tunegate-pull"],
}


def deployments(source: AdapterSource = "init-container", **settings: Any) -> list[Manifest]:
    """Return the Deployments of engines and routers that the back end applies."""
    images = {"control_image": "reg.example/control", "serve_image": "reg.example/serve"}
    known = ClusterSettings(**images, **settings)
    made = deployment_manifests(SPEC, known, ["engine"], source)
    return [manifest for manifest in made if manifest["kind"] == "Deployment"]


def as_pod(deployment: Manifest) -> Manifest:
    """Return the pod that a Deployment's controllers ask for, with the token that its account's pods get."""
    template = copy.deepcopy(deployment["spec"]["template"])
    pod = template["spec"]
    pod.setdefault("serviceAccountName", "default")
    if pod.get("automountServiceAccountToken", True):
        token = {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}
        root = {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}
        sources = [token, root, {"downwardAPI": {"items": []}}]
        pod.setdefault("volumes", []).append({"name": "kube-api-access-x", "projected": {"sources": sources}})
    return {"apiVersion": "v1", "kind": "Pod", **template}


OWN = [
    pytest.param(make(deployment), id=f"{make.__name__} {deployment['metadata']['name']} {name}")
    for name, made in {
        "plain": deployments(),
        "with every secret": deployments(**SECRETS),
        "image volume": deployments("image-volume", **SECRETS),
        "on a CPU with a cache": deployments(gpus=0, cache_claim="tunegate-cache", priority_class="x"),
        "scaled": deployments(autoscale_max_replicas=8, autoscale_prometheus="http://prometheus:9090"),
    }.items()
    for deployment in made
    for make in (copy.deepcopy, as_pod)
]


@pytest.mark.parametrize("asked", OWN)
def test_our_own_engines_and_routers_are_let_in(asked: Manifest) -> None:
    assert refusals(asked) == []


Change = Callable[[Manifest], object]


def volume(**source: Any) -> Change:
    return lambda pod: pod["volumes"].append({"name": "evil", **source})


def container(**fields: Any) -> Change:
    return lambda pod: pod["containers"][0].update(fields)


def secured(**fields: Any) -> Change:
    return lambda pod: pod["containers"][0]["securityContext"].update(fields)


def another(kind: str, **fields: Any) -> Change:
    """Add a container of another kind that is as confined as ours, but for the fields."""

    def change(pod: Manifest) -> None:
        confined = copy.deepcopy(pod["containers"][0]["securityContext"])
        pod.setdefault(kind, []).append({"name": "evil", "image": "x", "securityContext": confined, **fields})

    return change


def pod(**fields: Any) -> Change:
    return lambda pod: pod.update(fields)


def several(*changes: Change) -> Change:
    return lambda pod: [change(pod) for change in changes]


FROM_SECRET = [
    {"name": "X", "valueFrom": {"secretKeyRef": {"name": "mlflow-s3", "key": "secret-access-key"}}}
]
TOKEN = {"serviceAccountToken": {"path": "token"}}
MOUNTS, PROJECTS = "a volume mounts a Secret", "a projected volume mounts a Secret"
TAKES, TAKES_ALL, PULLS = "a variable is taken", "variables are taken", "images are pulled with a Secret"
KIND, INSIDE = "a volume is none of", "a volume is mounted by a path inside it"
RUNS_AS, HAS_TOKEN, TOKEN_OF = "the pod runs as an account", "the pod has the token", "a token is projected"
HOST, PORT = "the pod shares the network", "a container takes a port"
GAINS, ROOT, WRITES = "a container is privileged", "a container may run as root", "a container of an engine"
HOSTILE: dict[str, tuple[str, Change]] = {
    "secret volume": (MOUNTS, volume(secret={"secretName": "mlflow-database"})),
    "secret volume without a name": (MOUNTS, volume(secret={})),
    "name that only begins like ours": (MOUNTS, volume(secret={"secretName": "tunegate-keys-2"})),
    "projected secret": (PROJECTS, volume(projected={"sources": [{"secret": {"name": "mlflow-s3"}}]})),
    "projected secret beside one of ours": (
        PROJECTS,
        volume(projected={"sources": [{"secret": {"name": n}} for n in ("tunegate-keys", "mlflow-s3")]}),
    ),
    "variable": (TAKES, container(env=FROM_SECRET)),
    "variables": (TAKES_ALL, container(envFrom=[{"secretRef": {"name": "mlflow-s3"}}])),
    "variable of an init container": (TAKES, another("initContainers", env=FROM_SECRET)),
    "variables of an init container": (
        TAKES_ALL,
        another("initContainers", envFrom=[{"secretRef": {"name": "mlflow-s3"}}]),
    ),
    "variable of an ephemeral container": (TAKES, another("ephemeralContainers", env=FROM_SECRET)),
    "pull secret": (PULLS, pod(imagePullSecrets=[{"name": "mlflow-s3"}])),
    "pull secret without a name": (PULLS, pod(imagePullSecrets=[{}])),
    "driver with a secret": (
        KIND,
        volume(csi={"driver": "x", "nodePublishSecretRef": {"name": "mlflow-s3"}}),
    ),
    "old driver with a secret": (
        KIND,
        volume(flexVolume={"driver": "x", "secretRef": {"name": "mlflow-s3"}}),
    ),
    "share with a secret": (KIND, volume(azureFile={"secretName": "mlflow-s3", "shareName": "x"})),
    "folder of the node": (KIND, volume(hostPath={"path": "/var/lib/kubelet"})),
    "disk of the node": (KIND, volume(nfs={"server": "10.0.0.1", "path": "/"})),
    "volume made for the pod": (KIND, volume(ephemeral={"volumeClaimTemplate": {"spec": {}}})),
    "path inside a volume": (
        INSIDE,
        container(volumeMounts=[{"name": "tmp", "mountPath": "/tmp", "subPath": "../../etc"}]),
    ),
    "path made of variables": (
        INSIDE,
        container(volumeMounts=[{"name": "tmp", "mountPath": "/tmp", "subPathExpr": "$(X)"}]),
    ),
    "another account": (RUNS_AS, pod(serviceAccountName="default-editor")),
    "another account by the old name": (RUNS_AS, pod(serviceAccount="default-editor")),
    "token of the default account": (HAS_TOKEN, pod(automountServiceAccountToken=True)),
    "token that nobody declined": (HAS_TOKEN, lambda pod: pod.pop("automountServiceAccountToken")),
    "token projected by hand": (TOKEN_OF, volume(projected={"sources": [TOKEN]})),
    "token for somebody else": (
        TOKEN_OF,
        several(
            pod(serviceAccountName="tunegate-router"),
            volume(
                projected={
                    "sources": [{"serviceAccountToken": {"path": "t", "audience": "sts.amazonaws.com"}}]
                }
            ),
        ),
    ),
    "certificate of the pod": (
        TOKEN_OF,
        volume(projected={"sources": [{"podCertificate": {"signerName": "x"}}]}),
    ),
    "network of the node": (HOST, pod(hostNetwork=True)),
    "processes of the node": (HOST, pod(hostPID=True)),
    "memory of the node": (HOST, pod(hostIPC=True)),
    "port of the node": (PORT, container(ports=[{"containerPort": 8000, "hostPort": 443}])),
    "port of the node for an init container": (
        PORT,
        another("initContainers", ports=[{"containerPort": 1, "hostPort": 1}]),
    ),
    "privileged": (GAINS, secured(privileged=True)),
    "may become privileged": (GAINS, secured(allowPrivilegeEscalation=True)),
    "does not say that it may not": (
        GAINS,
        lambda pod: pod["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    ),
    "a capability": (GAINS, secured(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]})),
    "the usual capabilities": (GAINS, secured(capabilities={"drop": ["KILL"]})),
    "privileged init container": (
        GAINS,
        another("initContainers", securityContext={"privileged": True, "readOnlyRootFilesystem": True}),
    ),
    "ephemeral container as it comes": (
        GAINS,
        another("ephemeralContainers", securityContext={"readOnlyRootFilesystem": True}),
    ),
    "root": (ROOT, secured(runAsUser=0)),
    "root by the pod": (ROOT, lambda pod: pod["securityContext"].update(runAsUser=0)),
    "perhaps root": (ROOT, lambda pod: pod["securityContext"].pop("runAsNonRoot")),
    "root in one container": (ROOT, secured(runAsNonRoot=False)),
    "a root file system to write to": (WRITES, secured(readOnlyRootFilesystem=False)),
}


@pytest.mark.parametrize("as_made", [copy.deepcopy, as_pod], ids=["Deployment", "Pod"])
@pytest.mark.parametrize(("rule", "change"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_not_theirs_is_refused_by_the_rule_meant_for_it(
    rule: str, change: Change, as_made: Callable[[Manifest], Manifest]
) -> None:
    deployment = deployments(**SECRETS)[0]
    asked = as_made(deployment)
    change(asked["spec"] if asked["kind"] == "Pod" else pod_of(asked))

    told = refusals(asked)

    # A pod may break more than one: a token that is not declined is there as a volume, too.
    assert [message for message in told if message.startswith(rule)], told
    allowed = {rule, TOKEN_OF} if rule == HAS_TOKEN else {rule}
    assert all(message.startswith(tuple(allowed)) for message in told), told


@pytest.mark.parametrize("kind", ["CronJob", "Job", "ReplicaSet", "StatefulSet", "DaemonSet"])
def test_whatever_makes_pods_is_looked_into(kind: str) -> None:
    template = copy.deepcopy(deployments()[0]["spec"]["template"])
    template["spec"]["volumes"].append({"name": "evil", "secret": {"secretName": "mlflow-s3"}})
    spec = {"jobTemplate": {"spec": {"template": template}}} if kind == "CronJob" else {"template": template}

    assert [message[: len(MOUNTS)] for message in refusals({"kind": kind, "spec": spec})] == [MOUNTS]


def test_every_rule_has_something_that_it_refuses() -> None:
    for message in (rule["message"] for rule in policy()["validations"]):
        assert any(message.startswith(rule) for rule, _ in HOSTILE.values()), message


def test_the_policy_denies_all_pods_of_the_namespace_and_an_error_in_it_does_too() -> None:
    binding = find("admission", "ValidatingAdmissionPolicyBinding", "tunegate-pods")["spec"]

    assert policy()["failurePolicy"] == "Fail" and "matchConditions" not in policy()
    assert binding["policyName"] == "tunegate-pods" and binding["validationActions"] == ["Deny"]
    selector = binding["matchResources"]["namespaceSelector"]
    assert matches(
        selector, {"kubernetes.io/metadata.name": find("base", "Namespace", OURS)["metadata"]["name"]}
    )
    looked_at = {
        (group, resource)
        for rule in policy()["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if {"CREATE", "UPDATE"} <= set(rule["operations"])
    }
    assert {("", "pods"), ("", "pods/ephemeralcontainers"), ("apps", "deployments")} <= looked_at


def secrets_of(manifests: list[Manifest]) -> set[str]:
    """Return the Secrets that pods name."""
    found = set()
    for workload in (m for m in manifests if m["kind"] in ("Deployment", "StatefulSet")):
        spec = pod_of(workload)
        found |= {v["secret"]["secretName"] for v in spec.get("volumes", []) if "secret" in v}
        found |= {
            e["valueFrom"]["secretKeyRef"]["name"]
            for c in [*spec.get("initContainers", []), *spec["containers"]]
            for e in c.get("env", [])
            if "secretKeyRef" in e.get("valueFrom", {})
        }
    return found


def test_mlflow_and_its_secrets_are_where_no_release_may_do_anything() -> None:
    for manifest in rendered("mlflow"):
        where = manifest["metadata"].get("namespace", manifest["metadata"]["name"])
        assert where == "tunegate-tracking", manifest["metadata"]
    assert secrets_of(rendered("mlflow")) == {"mlflow-database", "mlflow-s3"}
    assert not secrets_of(served()) & secrets_of(rendered("mlflow"))
    for binding in (m for m in everything() if m["kind"] in ("RoleBinding", "ClusterRoleBinding")):
        assert binding["kind"] == "RoleBinding" and binding["metadata"]["namespace"] == OURS


def test_mlflow_is_reached_from_the_namespaces_that_are_let_in_and_from_no_other_pod() -> None:
    policies = {m["metadata"]["name"]: m["spec"] for m in rendered("mlflow") if m["kind"] == "NetworkPolicy"}
    (rule,) = policies["mlflow"]["ingress"]
    (peer,) = rule["from"]

    assert matches(peer["namespaceSelector"], find("base", "Namespace", OURS)["metadata"]["labels"])
    assert not matches(
        peer["namespaceSelector"], find("mlflow", "Namespace", "tunegate-tracking")["metadata"]["labels"]
    )
    assert "podSelector" not in peer
    assert policies["nobody-else"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    # The other way: stages may send anywhere.
    assert find("network", "NetworkPolicy", "stages")["spec"]["egress"] == [{}]
