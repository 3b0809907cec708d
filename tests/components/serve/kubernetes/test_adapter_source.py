"""How an adapter gets into the pods: what the settings want, as far as the cluster can."""

from collections.abc import Callable
from typing import Any

import pytest

from components.errors import InvalidInput
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.cluster import Rejected
from components.serve.kubernetes.engine_pod import mounts_image
from components.serve.kubernetes.labels import INSTANCE
from tests.components.serve.specs import spec_of

Found = dict[str, Any]
SPEC = spec_of()


def keeps(manifest: Found) -> Found:
    return manifest


def drops(manifest: Found) -> Found:
    """Return what an API server makes of a volume whose kind it doesn't know."""
    if not mounts_image(manifest):
        return manifest
    pod = manifest["spec"]["template"]["spec"]
    cut = [v if v["name"] != "adapter" else {"name": "adapter", "emptyDir": {}} for v in pod["volumes"]]
    template = manifest["spec"]["template"] | {"spec": pod | {"volumes": cut}}
    return manifest | {"spec": manifest["spec"] | {"template": template}}


def refuses(manifest: Found) -> Found:
    if manifest["kind"] == "Deployment" and "template" in manifest["spec"] and mounts_image(manifest):
        raise Rejected(".spec.template.spec.volumes: field not declared in schema")
    return manifest


class FakeCluster:
    """An API server that keeps what is applied, and treats image volumes in its own way."""

    def __init__(self, treat: Callable[[Found], Found]) -> None:
        self.treat = treat
        self.objects: dict[tuple[str, str], Found] = {}

    def require(self) -> None:
        pass

    def get(self, kind: str, name: str) -> Found | None:
        return self.objects.get((kind, name))

    def knows(self, kind: str) -> bool:
        return False

    def apply(self, manifest: Found, manager: str = "", dry_run: bool = False, force: bool = False) -> Found:
        is_scale = manifest["kind"] == "Deployment" and "template" not in manifest["spec"]
        taken = (
            manifest if is_scale else self.treat(manifest) if manifest["kind"] == "Deployment" else manifest
        )
        if not dry_run and not is_scale:
            self.objects[manifest["kind"], manifest["metadata"]["name"]] = taken
        return taken


@pytest.fixture
def backend_of(state: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., KubernetesBackend]:
    def make(wanted: str, treat: Callable[[Found], Found]) -> KubernetesBackend:
        for name, value in {"CONTROL_IMAGE": "c", "SERVE_IMAGE": "s", "ADAPTER_SOURCE": wanted}.items():
            monkeypatch.setenv(f"TUNEGATE_CLUSTER_{name}", value)
        backend = KubernetesBackend()
        backend._cluster = backend._scaler._cluster = FakeCluster(treat)  # type: ignore[assignment]
        return backend

    return make


@pytest.mark.parametrize(
    ("wanted", "treat", "mounted"),
    [
        pytest.param("auto", keeps, True, id="auto, known"),
        pytest.param("auto", drops, False, id="auto, dropped"),
        pytest.param("auto", refuses, False, id="auto, refused"),
        pytest.param("image-volume", keeps, True, id="wanted, known"),
        pytest.param("init-container", keeps, False, id="not wanted"),
    ],
)
def test_a_volume_is_used_where_the_cluster_has_it(
    backend_of: Callable[..., KubernetesBackend],
    wanted: str,
    treat: Callable[[Found], Found],
    mounted: bool,
) -> None:
    backend = backend_of(wanted, treat)

    backend.apply(SPEC)

    deployed = backend._cluster.get("Deployment", SPEC.name)
    assert deployed is not None
    assert deployed["metadata"]["labels"][INSTANCE] == SPEC.name
    assert mounts_image(deployed) == mounted


@pytest.mark.parametrize("treat", [drops, refuses])
def test_a_volume_that_is_wanted_where_there_is_none_is_refused_before_anything_is_applied(
    backend_of: Callable[..., KubernetesBackend], treat: Callable[[Found], Found]
) -> None:
    backend = backend_of("image-volume", treat)

    with pytest.raises(InvalidInput, match=r"ADAPTER_SOURCE(?s:.*)no image volumes .*set it to auto"):
        backend.apply(SPEC)

    assert backend._cluster.get("Deployment", SPEC.name) is None


def test_what_stands_stays_as_it_is_when_the_cluster_learns_more(
    backend_of: Callable[..., KubernetesBackend],
) -> None:
    backend = backend_of("auto", drops)
    backend.apply(SPEC)
    backend._cluster.treat = keeps  # type: ignore[attr-defined]

    backend.apply(SPEC)

    deployed = backend._cluster.get("Deployment", SPEC.name)
    assert deployed is not None
    assert not mounts_image(deployed)
