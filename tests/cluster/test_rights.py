"""What the accounts of `manifests/` may do on a real cluster, and what they may not."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import TunegateError
from tests.cluster.conftest import BackendOf, MakeSpec, kubectl, objects
from tests.manifests.rights import ALLOWED, EVERYBODY

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
        with backend.lease("cat", "release r1", print) as lease:
            lease.require_held()
            backend.retire(spec.name)

    assert objects(namespace, spec.name) == []


def as_account(namespace: str, account: str) -> str:
    """Return a kubeconfig of the same cluster, signed in as a service account."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify"))
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = json.loads(kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(request)))["status"][
        "token"
    ]
    config["users"][0]["user"] = {"token": token}
    return str(yaml.safe_dump(config))


# What each account may not do, of the kind that would matter.
REFUSED = {
    "tunegate-release": {
        "secrets": ("get", "list", "watch", "create", "patch", "delete"),
        "configmaps": ("get", "create"),
        "serviceaccounts": ("get", "create"),
        "serviceaccounts/token": ("create",),
        "persistentvolumeclaims": ("get", "create", "delete"),
        "deployments.apps": ("update", "deletecollection"),
        "replicasets.apps": ("get", "create", "patch", "delete"),
        "daemonsets.apps": ("create",),
        "jobs.batch": ("create",),
        "services": ("update", "deletecollection"),
        "services/proxy": ("get", "create"),
        "networkpolicies.networking.k8s.io": ("update", "deletecollection"),
        "poddisruptionbudgets.policy": ("update", "deletecollection"),
        "scaledobjects.keda.sh": ("update", "deletecollection"),
        "triggerauthentications.keda.sh": ("get", "create"),
        "deployments/scale.apps": ("patch", "update"),
        "endpoints": ("patch", "create"),
        "events": ("create", "delete"),
        "pods": ("create", "patch", "update", "deletecollection"),
        "pods/exec": ("create", "get"),
        "pods/attach": ("create",),
        "pods/portforward": ("create",),
        "pods/ephemeralcontainers": ("patch",),
        "roles.rbac.authorization.k8s.io": ("create", "patch", "bind", "escalate"),
        "rolebindings.rbac.authorization.k8s.io": ("create", "patch"),
        "namespaces": ("get", "delete"),
        "leases.coordination.k8s.io": ("list", "watch", "patch", "delete", "deletecollection"),
    },
    "tunegate-router": {
        "pods": ("create", "patch", "delete"),
        "pods/log": ("get",),
        "pods/exec": ("create",),
        "secrets": ("get", "list"),
        "services": ("get", "patch"),
        "endpoints": ("list",),
        "deployments.apps": ("get", "patch"),
    },
    "default": {
        "pods": ("get", "list", "create"),
        "secrets": ("get", "list"),
        "configmaps": ("get",),
        "services": ("get", "list"),
    },
}
LISTED = re.compile(r"(?P<resource>\S*)\s+\[(?P<urls>.*?)\]\s+\[(?P<names>.*?)\]\s+\[(?P<verbs>.*?)\]\s*")
RIGHTS = [
    pytest.param(account, resource, verb, allowed, id=f"{account} {verb} {resource}")
    for allowed, table in ((True, ALLOWED), (False, REFUSED))
    for account, resources in table.items()
    for resource, verbs in resources.items()
    for verb in verbs
]


@pytest.fixture(scope="module")
def accounts(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A client of the API server for each account, signed in with its own token; and the tests' own."""
    from kubernetes import client, config

    clients = {"": client.AuthorizationV1Api(config.new_client_from_config())}
    for account in ALLOWED:
        path = tmp_path_factory.mktemp("account") / "kubeconfig"
        path.write_text(as_account(namespace, account))
        clients[account] = client.AuthorizationV1Api(config.new_client_from_config(str(path)))
    return clients


@pytest.mark.parametrize(("account", "resource", "verb", "allowed"), RIGHTS)
def test_the_accounts_may_do_what_they_need_and_no_more(
    accounts: dict[str, Any], namespace: str, account: str, resource: str, verb: str, allowed: bool
) -> None:
    name, _, group = resource.partition(".")
    kind, _, subresource = name.partition("/")
    asked = {
        "namespace": namespace,
        "verb": verb,
        "group": group,
        "resource": kind,
        "subresource": subresource,
    }
    user = f"system:serviceaccount:{namespace}:{account}"

    told = accounts[""].create_subject_access_review({"spec": {"user": user, "resourceAttributes": asked}})
    by_itself = accounts[account].create_self_subject_access_review({"spec": {"resourceAttributes": asked}})

    assert (told.status.allowed, by_itself.status.allowed) == (allowed, allowed)


@pytest.mark.parametrize("account", ALLOWED)
def test_the_list_of_what_an_account_may_do_is_the_table(
    namespace: str, account: str, tmp_path: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(as_account(namespace, account))
    done = subprocess.run(
        ["kubectl", "auth", "can-i", "--list", "--namespace", namespace],
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr

    listed: dict[str, set[str]] = {}
    for line in done.stdout.splitlines()[1:]:
        found = LISTED.fullmatch(line)
        assert found and not found["names"], line
        if found["resource"]:
            listed.setdefault(found["resource"], set()).update(found["verbs"].split())
        else:  # of what is no resource, such as /version, nothing is changed by reading
            assert found["verbs"] == "get", line
    own = {resource: verbs for resource, verbs in listed.items() if EVERYBODY.get(resource) != verbs}
    assert own == {resource: set(verbs) for resource, verbs in ALLOWED[account].items()}
