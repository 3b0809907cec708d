"""What all of `manifests/` grants; tests/cluster/test_rights.py asks a cluster."""

from tests.manifests.rendering import Manifest, everything, find, pod_of
from tests.manifests.rights import ALLOWED

BINDINGS = [m for m in everything() if m["kind"] in ("RoleBinding", "ClusterRoleBinding")]
OF_KUBEFLOW = "tunegate-release-runs"  # to a role that Kubeflow brings


def test_nothing_else_is_granted() -> None:
    """Every right of the Roles stands in the table, and nothing of the table is missing there."""
    assert {m["kind"] for m in BINDINGS} == {"RoleBinding"}
    granted: dict[str, set[tuple[str, str]]] = {account: set() for account in ALLOWED}
    for binding in BINDINGS:
        if binding["metadata"]["name"] != OF_KUBEFLOW:
            (subject,) = binding["subjects"]
            assert subject["kind"] == "ServiceAccount" and binding["roleRef"]["kind"] == "Role"
            granted[subject["name"]] |= rights_of(find("base", "Role", binding["roleRef"]["name"]))
    assert granted == {
        account: {(resource, verb) for resource, verbs in resources.items() for verb in verbs}
        for account, resources in ALLOWED.items()
    }


def rights_of(role: Manifest) -> set[tuple[str, str]]:
    assert not any("resourceNames" in rule for rule in role["rules"])
    return {
        (f"{resource}.{group}" if group else resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_whoever_runs_on_kubeflow_has_its_role_besides_and_its_text_says_so() -> None:
    binding = find("kubeflow", "RoleBinding", OF_KUBEFLOW)

    assert binding["roleRef"]["name"] == "kubeflow-edit"
    assert [subject["name"] for subject in binding["subjects"]] == ["tunegate-release"]


def test_every_account_that_pods_run_as_stands_in_the_table() -> None:
    accounts = {m["metadata"]["name"] for m in everything() if m["kind"] == "ServiceAccount"}
    for workload in (m for m in everything() if m["kind"] in ("Deployment", "StatefulSet")):
        accounts.add(pod_of(workload).get("serviceAccountName", "default"))

    assert accounts == ALLOWED.keys()
