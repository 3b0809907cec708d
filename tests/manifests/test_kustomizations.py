"""Every kustomization renders to objects that are valid, and every file says what it is for."""

import copy
import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from tests.manifests.rendering import (
    KUSTOMIZATIONS,
    MANIFESTS,
    Manifest,
    everything,
    find,
    pod_of,
    rendered,
    scaled,
)
from tests.manifests.validation import VERSIONS, is_known, validate

FILES = sorted(path for path in MANIFESTS.rglob("*") if path.is_file())


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_what_is_rendered_is_valid(kustomization: str, version: str) -> None:
    manifests = rendered(kustomization)

    assert manifests
    for manifest in manifests:
        if is_known(manifest, version):
            validate(manifest, version)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_every_file_says_first_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    if path.suffix == ".json":
        assert next(iter(json.loads(text))) == "description"
    else:
        first = text.splitlines()[0]
        assert first.startswith("# ") and len(first) > 20
        if path.name == "kustomization.yaml":
            assert f"kubectl apply -k manifests/{path.parent.relative_to(MANIFESTS)}" in first


def test_every_file_is_used() -> None:
    used = set()
    for kustomization in KUSTOMIZATIONS:
        folder = MANIFESTS / kustomization
        config = yaml.safe_load((folder / "kustomization.yaml").read_text())
        sources = [
            s for g in config.get("configMapGenerator", []) for s in [*g.get("envs", []), *g.get("files", [])]
        ]
        used |= {folder / name for name in [*config["resources"], *sources, "kustomization.yaml"]}

    by_hand = {MANIFESTS / "overlays/gpu/serving.env"}  # settings of the command line
    assert set(FILES) - {path.resolve() for path in used} == by_hand


def test_two_kustomizations_do_not_make_the_same_object_differently() -> None:
    seen: dict[tuple[str, ...], Manifest] = {}
    for manifest in everything():
        where = manifest["metadata"]
        key = (manifest["kind"], where["name"], where.get("namespace", ""))
        assert seen.setdefault(key, manifest) == manifest


OF_THE_CLUSTER = {
    *("Namespace", "PriorityClass", "NodePool", "EC2NodeClass"),
    *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    *("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"),
}


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_all_is_in_its_namespace_but_what_belongs_to_the_cluster(kustomization: str) -> None:
    own = "tunegate-tracking" if kustomization == "mlflow" else "tunegate"
    for manifest in rendered(kustomization):
        inside = manifest["metadata"].get("namespace")
        assert inside == (None if manifest["kind"] in OF_THE_CLUSTER else own), manifest


def test_images_are_pinned() -> None:
    pods = [pod_of(m) for m in everything() if m["kind"] in ("Deployment", "StatefulSet")]
    images = {c["image"] for pod in pods for c in [*pod.get("initContainers", []), *pod["containers"]]}

    assert len(images) == 2
    for image in images:
        name, _, tag = image.rpartition("/")[2].partition(":")
        assert name and tag[:1].isdigit(), image


def broken(manifest: Manifest, path: str, value: Any) -> Manifest:
    changed = copy.deepcopy(manifest)
    *parents, last = path.split(".")
    part: Any = changed
    for name in parents:
        part = part[int(name) if name.isdigit() else name]
    part[last] = value
    return changed


BROKEN = [
    ("overlays/gpu", "NodePool", "tunegate-serving", "spec.disruption.consolidationPolicy", "WhenFree"),
    ("overlays/gpu", "NodePool", "tunegate-serving", "spec.template.spec.taint", []),
    ("overlays/gpu", "EC2NodeClass", "tunegate-gpu", "spec.amiSelectorTerms", [{"alias": "al2023@latest"}]),
    ("monitoring", "PodMonitor", "tunegate-engines", "spec.podMetricsEndpoints.0.intervall", "15s"),
    ("monitoring", "ServiceMonitor", "tunegate-routers", "spec.endpoints.0.relabelings.0.target", "x"),
    ("monitoring", "PrometheusRule", "tunegate-alerts", "spec.groups.0.rules.0.alerts", "x"),
    ("mlflow", "Deployment", "mlflow", "spec.template.spec.containers.0.securityContexts", {}),
]


@pytest.mark.parametrize(
    ("kustomization", "kind", "name", "path", "value"), BROKEN, ids=[b[3] for b in BROKEN]
)
def test_a_wrong_field_would_be_seen(kustomization: str, kind: str, name: str, path: str, value: Any) -> None:
    manifest = broken(find(kustomization, kind, name), path, value)

    with pytest.raises((ValidationError, kubernetes_validate.ValidationError, pytest.fail.Exception)):
        validate(manifest, VERSIONS[0])


@pytest.mark.parametrize("path", ["spec.triggers.0.metricTypes", "spec.maxReplicas"])
def test_a_wrong_field_of_the_autoscaler_would_be_seen(path: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=f"ScaledObject.{path.split('.')[0]}"):
        validate(broken(scaled(), path, 3), VERSIONS[0])
