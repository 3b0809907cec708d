"""What the Roles of `manifests/base` grant; tests/cluster/test_rights.py asks a cluster."""

from pathlib import Path

import yaml

from tests.manifests.rights import ALLOWED

BASE = Path(__file__).parents[2] / "manifests" / "base"


def test_nothing_else_is_granted() -> None:
    """Every right of the Roles stands in the table, and nothing of the table is missing there."""
    for account, resources in ALLOWED.items():
        file = BASE / f"{account.removeprefix('tunegate-')}-account.yaml"
        manifests = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        assert {m["kind"] for m in manifests} == {"ServiceAccount", "Role", "RoleBinding"}
        (role,) = [m for m in manifests if m["kind"] == "Role"]
        granted = {
            (f"{resource}.{group}" if group else resource, verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        assert granted == {(resource, verb) for resource, verbs in resources.items() for verb in verbs}
