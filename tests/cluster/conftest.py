"""A namespace of a real cluster, and stand-in replicas in it.

KUBECONFIG names the cluster. TUNEGATE_TEST_CONTROL_IMAGE, TUNEGATE_TEST_SERVE_IMAGE and
TUNEGATE_TEST_STAND_IN_IMAGE name the images of `containers/` and of the Dockerfile here, as the nodes pull
them; adapters are pushed to the registry that they come from.
"""

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import NotReady
from components.oci.adapter_images import PushedImage, push_adapter
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.cluster import Cluster
from components.serve.kubernetes.manifests import router_name
from components.serve.kubernetes.pod import METRICS_PORT
from components.serve.spec import ServingSpec
from tests.cluster.images import cluster_images
from tests.components.serve.specs import spec_of

BASE = Path(__file__).parents[2] / "manifests" / "base"

BackendOf = Callable[..., KubernetesBackend]
MakeSpec = Callable[..., ServingSpec]


def kubectl(*arguments: str, stdin: str = "", timeout_s: int = 120) -> str:
    """Run kubectl as the test's own, which may do everything."""
    command = ["kubectl", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def images() -> tuple[str, str]:
    """The control image and the stand-in's; skips where there is no cluster to run them on."""
    control, stand_in = cluster_images("control", "stand-in")
    return control, stand_in


@contextmanager
def new_namespace() -> Iterator[str]:
    """Make a namespace with the accounts of `manifests/base`; it is deleted afterwards."""
    name = f"tunegate-test-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    try:
        for file in ("router-account.yaml", "release-account.yaml"):
            kubectl("apply", "--namespace", name, "-f", str(BASE / file))
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="package")
def namespace(images: tuple[str, str]) -> Iterator[str]:
    """A namespace of the tests' own."""
    with new_namespace() as name:
        yield name


@pytest.fixture(scope="package")
def serving(
    images: tuple[str, str], namespace: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pytest.MonkeyPatch]:
    """The settings of small replicas on a CPU."""
    control, stand_in = images
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RELEASE_ID", "r1")
        wanted: dict[str, Any] = {
            "namespace": namespace,
            "control_image": control,
            "serve_image": stand_in,
            "gpus": 0,
            "cpu": "20m",
            "memory": "256Mi",
            "shared_memory": "16Mi",
            "router_cpu": "20m",
            "router_replicas": 1,
            "max_start_s": 60,
            "drain_s": 30,
            "schedule_patience_s": 3,
        }
        for key, value in wanted.items():
            patch.setenv(f"TUNEGATE_CLUSTER_{key.upper()}", str(value))
        yield patch


@pytest.fixture(scope="package")
def cluster(serving: pytest.MonkeyPatch, namespace: str) -> Cluster:
    """The API server, as the back end sees it."""
    return Cluster(namespace)


@pytest.fixture(scope="package")
def image(
    images: tuple[str, str], serving: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> PushedImage:
    """An adapter in the registry."""
    adapter = tmp_path_factory.mktemp("adapter")
    (adapter / "adapter_config.json").write_text('{"r": 4}')
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    registry = images[0].partition("/")[0]
    return push_adapter(adapter, f"{registry}/tunegate-test/adapter", {}, "pet")


@pytest.fixture(scope="package")
def make_spec(image: PushedImage) -> MakeSpec:
    """Make a spec of the image under a name."""

    def make(name: str, **changes: object) -> ServingSpec:
        usual = {"base_model": "org/base", "image": image.reference, "adapter_digest": image.adapter_digest}
        return spec_of(name, **usual | {"lora_r": 4, "max_model_len": 256} | changes)

    return make


@pytest.fixture(scope="package")
def backend_of(serving: pytest.MonkeyPatch) -> BackendOf:
    """Make a back end whose replicas are stand-ins that are started with some flags."""

    def make(*flags: str) -> KubernetesBackend:
        def command(spec: ServingSpec) -> list[str]:
            server = ["python", "/opt/replica_server.py", "--host", "0.0.0.0", "--port", "8000"]
            return [*server, "--base", "base", "--adapter", spec.model_name, "--answer", spec.name, *flags]

        return KubernetesBackend(command)

    return make


@pytest.fixture(scope="package")
def backend(backend_of: BackendOf) -> KubernetesBackend:
    """The back end over stand-ins that answer at once."""
    return backend_of()


def workers(namespace: str, name: str) -> list[str]:
    """Return the engines that a deployment's router asks, as its inner port says from inside the pod."""
    script = (
        "import re, urllib.request as u\n"
        f"shown = u.urlopen('http://127.0.0.1:{METRICS_PORT}/metrics', timeout=5).read().decode()\n"
        """print(*re.findall(r'^tunegate_router_replica_healthy{replica="([^"]+)"}', shown, re.M))"""
    )
    place = ("exec", f"deployment/{router_name(name)}", "--namespace", namespace)
    return sorted(kubectl(*place, "--", "python", "-c", script).split())


def assert_fails_soon(backend: KubernetesBackend, spec: ServingSpec, namespace: str, words: str) -> None:
    """Apply a deployment that can't become ready: why is told, not waited out, and nothing of it stays."""
    started = time.monotonic()
    try:
        backend.apply(spec)
        with pytest.raises(NotReady, match=f"(?s){words}") as told:
            backend.wait_ready(spec.name, 100)
        print(f"said after {time.monotonic() - started:.1f} s")
        assert "not ready within" not in str(told.value)
    finally:
        backend.retire(spec.name)
    assert objects(namespace, spec.name) == []


def objects(namespace: str, name: str) -> list[str]:
    """Return everything in a namespace that has the name of a deployment in its own, or its label."""
    kinds = "deployments,replicasets,pods,services,endpoints,poddisruptionbudgets,networkpolicies"
    kinds += ",configmaps,secrets"
    listed = yaml.safe_load(kubectl("get", kinds, "--namespace", namespace, "-o", "yaml"))["items"]
    return [
        f"{found['kind']}/{found['metadata']['name']}"
        for found in listed
        if name in found["metadata"]["name"] or name in (found["metadata"].get("labels") or {}).values()
    ]
