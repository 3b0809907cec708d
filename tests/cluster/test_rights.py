"""What the accounts of `manifests/base` may do on a real cluster, and what they may not."""

import base64
import json
from pathlib import Path

import pytest
import yaml

from components.errors import TunegateError
from tests.cluster.conftest import BASE, BackendOf, MakeSpec, kubectl, objects

READY_S = 120


def test_no_rights_are_told_before_anything_is_applied(
    backend_of: BackendOf, make_spec: MakeSpec, namespace: str, tmp_path: Path
) -> None:
    spec = make_spec("pet-rights")
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(as_account(namespace, "default"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        with pytest.raises(TunegateError, match=r"is not allowed .*cannot get .*see manifests/"):
            backend_of().apply(spec)

    assert objects(namespace, spec.name) == []


def test_the_release_account_can_deploy_promote_kill_and_retire(
    backend_of: BackendOf, make_spec: MakeSpec, namespace: str, tmp_path: Path
) -> None:
    spec = make_spec("cat-r1", model_name="cat", replicas=1)
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(as_account(namespace, "tunegate-release"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        backend = backend_of()
        backend.apply(spec)
        backend.wait_ready(spec.name, READY_S)
        assert spec in backend.deployments()
        backend.kill_replica(spec.name)
        backend.scale(spec.name, 0)
        backend.retire(spec.name)

    assert objects(namespace, spec.name) == []


def as_account(namespace: str, account: str) -> str:
    """Return a kubeconfig of the same cluster, signed in as a service account."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify"))
    listed = yaml.safe_load(kubectl("get", "secrets", "--namespace", namespace, "-o", "yaml"))["items"]
    token = next(
        base64.b64decode(secret["data"]["token"]).decode()
        for secret in listed
        if secret["metadata"].get("annotations", {}).get("kubernetes.io/service-account.name") == account
    )
    config["users"][0]["user"] = {"token": token}
    return str(yaml.safe_dump(config))


RIGHTS = [
    ("create", "deployments.apps", True),
    ("patch", "services", True),
    ("delete", "pods", True),
    ("get", "pods/log", True),
    ("list", "events", True),
    ("delete", "poddisruptionbudgets.policy", True),
    ("get", "secrets", False),
    ("create", "pods/exec", False),
    ("create", "pods", False),
    ("create", "roles.rbac.authorization.k8s.io", False),
    ("delete", "namespaces", False),
    ("update", "networkpolicies.networking.k8s.io", False),
]


@pytest.mark.parametrize(("verb", "resource", "allowed"), RIGHTS, ids=[f"{v} {r}" for v, r, _ in RIGHTS])
def test_the_release_account_may_do_what_it_needs_and_no_more(
    namespace: str, verb: str, resource: str, allowed: bool
) -> None:
    user = f"system:serviceaccount:{namespace}:tunegate-release"
    group, name = resource.partition(".")[2], resource.partition(".")[0]
    resource_name, _, subresource = name.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "resourceAttributes": {
                "namespace": namespace,
                "verb": verb,
                "group": group,
                "resource": resource_name,
                "subresource": subresource,
            },
        },
    }
    answer = kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", stdin=json.dumps(review))

    assert answer == str(allowed).lower()


def test_the_base_is_taken_by_the_api_server(namespace: str) -> None:
    said = kubectl("apply", "-k", str(BASE), "--dry-run=client")

    assert "role.rbac.authorization.k8s.io/tunegate-release created" in said
