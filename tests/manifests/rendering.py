"""The kustomizations of `manifests/`, rendered as `kubectl apply -k` would."""

import functools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from components.serve.kubernetes.manifests import deployment_manifests, live_service
from components.serve.kubernetes.scaler import scaled_object
from components.settings import ClusterSettings
from tests.components.serve.specs import spec_of

Manifest = dict[str, Any]

MANIFESTS = Path(__file__).parents[2] / "manifests"
KUSTOMIZATIONS = sorted(
    str(path.parent.relative_to(MANIFESTS)) for path in MANIFESTS.rglob("kustomization.yaml")
)

SPEC = spec_of(base_model="org/model@abc")


def kubectl() -> str:
    """Return the kubectl that came with the development tools, or the one on the path."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "no kubectl here: run make setup"
    return found


def render(folder: Path) -> str:
    """Return what the kustomization in a folder renders to."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def rendered_text(kustomization: str) -> str:
    """Return what one of the shipped kustomizations renders to."""
    return render(MANIFESTS / kustomization)


def rendered(kustomization: str) -> list[Manifest]:
    """Return the objects of a kustomization."""
    return list(yaml.safe_load_all(rendered_text(kustomization)))


def everything() -> list[Manifest]:
    """Return the objects of all kustomizations; one that stands in several, several times."""
    return [manifest for kustomization in KUSTOMIZATIONS for manifest in rendered(kustomization)]


def find(kustomization: str, kind: str, name: str) -> Manifest:
    """Return one object of a kustomization."""
    found = [m for m in rendered(kustomization) if (m["kind"], m["metadata"]["name"]) == (kind, name)]
    assert len(found) == 1, f"{kind} {name} stands {len(found)} times in {kustomization}"
    return found[0]


def pod_of(manifest: Manifest) -> Manifest:
    """Return the spec of the pods that an object makes."""
    pod: Manifest = manifest["spec"]["template"]["spec"]
    return pod


def served(settings: ClusterSettings | None = None) -> list[Manifest]:
    """Return what the back end applies for a deployment that is the champion."""
    known = settings or ClusterSettings(control_image="reg.example/control", serve_image="reg.example/serve")
    return [*deployment_manifests(SPEC, known, ["engine"]), live_service(SPEC, known.namespace)]


def scaled() -> Manifest:
    """Return what the back end applies to have a champion scaled."""
    settings = ClusterSettings(autoscale_max_replicas=8, autoscale_prometheus="http://prometheus:9090")
    return scaled_object(SPEC, settings)


def matches(selector: Manifest, labels: dict[str, str]) -> bool:
    """Say whether a label selector, of the two usual forms, picks something with these labels."""
    for wanted in selector.get("matchExpressions", []):
        assert wanted["operator"] == "In", wanted
        if labels.get(wanted["key"]) not in wanted["values"]:
            return False
    wanted_labels: dict[str, str] = selector.get("matchLabels", {})
    return wanted_labels.items() <= labels.items()
