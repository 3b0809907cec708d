"""How an adapter gets into the pods: what the settings want, as far as the cluster can."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.errors import InvalidInput
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.cluster import Rejected
from components.serve.kubernetes.engine_pod import mounts_image
from components.serve.kubernetes.labels import INSTANCE
from components.serve.kubernetes.scaler import KIND
from components.settings import ClusterSettings
from tests.components.serve.kubernetes.fake_cluster import FakeCluster, backend_on
from tests.components.serve.specs import spec_of

Found = dict[str, Any]
SPEC = spec_of()


def keeps(manifest: Found) -> Found:
    return manifest


def drops(manifest: Found) -> Found:
    """Return what an API server makes of a volume whose kind it doesn't know."""
    if not has_volume(manifest):
        return manifest
    pod = manifest["spec"]["template"]["spec"]
    cut = [v if v["name"] != "adapter" else {"name": "adapter", "emptyDir": {}} for v in pod["volumes"]]
    template = manifest["spec"]["template"] | {"spec": pod | {"volumes": cut}}
    return manifest | {"spec": manifest["spec"] | {"template": template}}


def refuses(manifest: Found) -> Found:
    if has_volume(manifest):
        raise Rejected(".spec.template.spec.volumes: field not declared in schema")
    return manifest


def has_volume(manifest: Found) -> bool:
    return manifest["kind"] == "Deployment" and "template" in manifest["spec"] and mounts_image(manifest)


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(lacks=[KIND])


BackendOf = Callable[..., KubernetesBackend]


@pytest.fixture
def backend_of(state: Path, cluster: FakeCluster) -> BackendOf:
    """Make a back end that wants adapters in some way, on a cluster that treats them in its own."""

    def make(wanted: Any, treat: Callable[[Found], Found]) -> KubernetesBackend:
        cluster.treat = treat
        settings = ClusterSettings(control_image="c", serve_image="s", adapter_source=wanted)
        return backend_on(cluster, settings)

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
    backend_of: BackendOf,
    cluster: FakeCluster,
    wanted: str,
    treat: Callable[[Found], Found],
    mounted: bool,
) -> None:
    backend = backend_of(wanted, treat)

    backend.apply(SPEC)

    deployed = cluster.get("Deployment", SPEC.name)
    assert deployed is not None
    assert deployed["metadata"]["labels"][INSTANCE] == SPEC.name
    assert mounts_image(deployed) == mounted


@pytest.mark.parametrize("treat", [drops, refuses])
def test_a_volume_that_is_wanted_where_there_is_none_is_refused_before_anything_is_applied(
    backend_of: BackendOf, cluster: FakeCluster, treat: Callable[[Found], Found]
) -> None:
    backend = backend_of("image-volume", treat)

    with pytest.raises(InvalidInput, match=r"ADAPTER_SOURCE(?s:.*)no image volumes .*set it to auto"):
        backend.apply(SPEC)

    assert cluster.get("Deployment", SPEC.name) is None


def test_what_stands_stays_as_it_is_when_the_cluster_learns_more(
    backend_of: BackendOf, cluster: FakeCluster
) -> None:
    backend = backend_of("auto", drops)
    backend.apply(SPEC)
    cluster.treat = keeps

    backend.apply(SPEC)

    deployed = cluster.get("Deployment", SPEC.name)
    assert deployed is not None
    assert not mounts_image(deployed)
