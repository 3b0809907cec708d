"""Keys, Secrets and registries on a real cluster: who gets in, and what is said of what is missing."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from components.errors import InvalidInput
from components.serve.kubernetes.cluster import Cluster
from components.serve.kubernetes.engine_pod import mounts_image
from components.serve.kubernetes.manifests import deployment_manifests
from components.settings import load_cluster_settings
from tests.cluster.conftest import (
    BackendOf,
    MakeSpec,
    assert_fails_soon,
    kubectl,
    objects,
    workers,
)
from tests.components.serve.clients import ask

READY_S = 120
KEY = "sk-ann-1"

# A registry's stand-in: it gives an answer so many times, and then sends on to a real registry.
ANSWERS = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
status, times, registry = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
class Handler(BaseHTTPRequestHandler):
    left = times
    def do_GET(self):
        Handler.left -= 1
        self.send_response(status if Handler.left >= 0 else 307)
        self.send_header("Location", f"http://{registry}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()
HTTPServer(("0.0.0.0", 5000), Handler).serve_forever()
"""


@contextmanager
def settings(**values: str) -> Iterator[None]:
    """Change settings while a back end is made and applies."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(f"TUNEGATE_CLUSTER_{name}", value)
        yield


@pytest.fixture
def registry(images: tuple[str, str], namespace: str) -> Iterator[Callable[[int, int], str]]:
    """Start a registry that answers a status so many times first; return its host."""

    def start(status: int, times: int) -> str:
        real = images[0].partition("/")[0]
        command = ["python", "-c", ANSWERS, str(status), str(times), real]
        kubectl("run", "moody", f"--image={images[0]}", "--port=5000", "--expose", "--namespace", namespace,
                "--restart=Never", "--labels=run=moody", "--command", "--", *command)  # fmt: skip
        kubectl("wait", "pod/moody", "--for=condition=Ready", "--timeout=60s", "--namespace", namespace)
        return f"moody.{namespace}.svc:5000"

    yield start
    kubectl("delete", "pod,service", "moody", "--namespace", namespace, "--grace-period=0", "--force")


def test_engines_let_in_whoever_has_a_key_of_the_secret(
    backend_of: BackendOf, make_spec: MakeSpec, namespace: str
) -> None:
    spec = make_spec("pet-keyed", replicas=1)

    def put(**keys: str) -> None:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys}
        kubectl("apply", "--namespace", namespace, "-f", "-", stdin=json.dumps(secret))

    put(ann=KEY, bob="sk-bob-2")
    with settings(API_KEYS_SECRET="keys"):
        backend = backend_of()
    try:
        backend.apply(spec)
        backend.wait_ready(spec.name, READY_S)
        url = backend.endpoint(spec.name)
        for stream in (False, True):
            assert "pet-keyed" in ask(url, stream=stream, key=KEY)
            for stranger in ("", "sk-eve"):
                with pytest.raises(OSError, match=r"^401: .*invalid_api_key"):
                    ask(url, stream=stream, key=stranger)
        assert workers(namespace, spec.name) == [replica.url for replica in backend.replicas(spec.name)]

        put(ann="sk-ann-3")
        # The kubelet looks at a pod again when it changes; by itself once in a minute or two.
        pod = backend.replicas(spec.name)[0].name
        kubectl("annotate", "pod", pod, "tests/touched=now", "--namespace", namespace)
        started, deadline = time.monotonic(), time.monotonic() + 150
        while True:
            with contextlib.suppress(OSError):
                ask(url, key="sk-ann-3")
                break
            assert time.monotonic() < deadline, "the new key is not known yet"
            time.sleep(1)
        print(f"a changed key counts after {time.monotonic() - started:.0f} s")
        with pytest.raises(OSError, match=r"^401"):
            ask(url, key=KEY)
        assert [replica.state for replica in backend.replicas(spec.name)] == ["ready"]
    finally:
        backend.retire(spec.name)
        kubectl("delete", "secret", "keys", "--namespace", namespace)
    assert objects(namespace, spec.name) == []


MISSING = [
    pytest.param(
        {"API_KEYS_SECRET": "nowhere"},
        r'secret "nowhere" not found; check TUNEGATE_CLUSTER_API_KEYS_SECRET',
        id="keys",
    ),
    pytest.param(
        {"REGISTRY_SECRET": "nowhere"},
        r'secret "nowhere" not found; check TUNEGATE_CLUSTER_REGISTRY_SECRET',
        id="registry",
    ),
    pytest.param(
        {"CACHE_CLAIM": "nowhere"},
        r'persistentvolumeclaim "nowhere" not found.*check TUNEGATE_CLUSTER_CACHE_CLAIM',
        id="claim",
    ),
    pytest.param(
        {"PRIORITY_CLASS": "nowhere"},
        r"refuses its pods: .*PriorityClass.*nowhere.*check TUNEGATE_CLUSTER_PRIORITY_CLASS",
        id="priority class",
    ),
    pytest.param(
        {"SERVE_IMAGE": "registry.nowhere/none:1", "IMAGE_PULL_SECRETS": '["nowhere"]'},
        r"image pull: .*TUNEGATE_CLUSTER_IMAGE_PULL_SECRETS",
        id="pull secret",
    ),
]


@pytest.mark.parametrize(("wanted", "words"), MISSING)
def test_what_the_settings_name_and_is_not_there_is_told_soon(
    backend_of: BackendOf, make_spec: MakeSpec, namespace: str, wanted: dict[str, str], words: str
) -> None:
    spec = make_spec("pet-lacks", replicas=1)
    with settings(**wanted):
        backend = backend_of()
    assert_fails_soon(backend, spec, namespace, words)


def test_wrong_credentials_of_the_registry_are_told_at_once(
    backend_of: BackendOf,
    make_spec: MakeSpec,
    namespace: str,
    registry: Callable[[int, int], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = registry(401, 1000)
    spec = make_spec("pet-locked", replicas=1)
    spec = spec.model_copy(update={"image": f"{host}/{spec.image.partition('/')[2]}"})
    monkeypatch.setenv("TUNEGATE_INSECURE_REGISTRIES", host)
    backend = backend_of()
    words = r"\(adapter\): the registry refused it; check the Secret that TUNEGATE_CLUSTER_REGISTRY_SECRET"
    assert_fails_soon(backend, spec, namespace, rf"{words}.*asks for credentials")


@pytest.mark.parametrize("status", [500, 429])
def test_a_registry_that_can_not_answer_for_a_while_is_sat_out(
    backend_of: BackendOf,
    make_spec: MakeSpec,
    namespace: str,
    registry: Callable[[int, int], str],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    host = registry(status, 6)  # more often than the container asks before it is started again
    spec = make_spec("pet-moody", replicas=1)
    spec = spec.model_copy(update={"image": f"{host}/{spec.image.partition('/')[2]}"})
    real = spec.image
    monkeypatch.setenv("TUNEGATE_INSECURE_REGISTRIES", host)
    backend = backend_of()
    try:
        backend.apply(spec)
        print(f"ready after {backend.wait_ready(spec.name, READY_S):.0f} s")
        pod = json.loads(
            kubectl("get", "pod", backend.replicas(spec.name)[0].name, "--namespace", namespace, "-o", "json")
        )
        assert pod["status"]["initContainerStatuses"][0]["restartCount"] >= 1
        assert "pet-moody" in ask(backend.endpoint(spec.name)), real
    finally:
        backend.retire(spec.name)
    assert objects(namespace, spec.name) == []


def test_the_adapter_gets_in_the_way_that_this_cluster_has(
    backend_of: BackendOf, make_spec: MakeSpec, cluster: Cluster, namespace: str
) -> None:
    version = json.loads(kubectl("version", "-o", "json"))["serverVersion"]
    minor = int("".join(digit for digit in version["minor"] if digit.isdigit()))
    spec = make_spec("pet-source", replicas=1)
    backend = backend_of()
    try:
        started = time.monotonic()
        backend.apply(spec)
        print(f"applied after {time.monotonic() - started:.1f} s")
        deployed = cluster.get("Deployment", spec.name)
        assert deployed is not None
        if minor < 31 or minor > 34:  # between them it depends on a feature gate
            assert mounts_image(deployed) == (minor > 34)
    finally:
        backend.retire(spec.name)
    if minor < 31:
        with settings(ADAPTER_SOURCE="image-volume"):
            backend = backend_of()
        with pytest.raises(InvalidInput, match="this cluster has no image volumes"):
            backend.apply(spec)
    assert objects(namespace, spec.name) == []


def test_network_policies_stand_as_they_were_rendered(
    backend_of: BackendOf, make_spec: MakeSpec, cluster: Cluster
) -> None:
    spec = make_spec("pet-fenced", replicas=1)
    wanted: dict[str, str] = {
        "EGRESS": '["203.0.113.0/24"]',
        "API_SERVER": '["10.96.0.1/32"]',
        "CLIENT_NAMESPACES": '{"team": "support"}',
        "MONITORING_NAMESPACES": '{"name": "monitoring"}',
    }
    with settings(**wanted):
        backend = backend_of()
        rendered: list[dict[str, Any]] = [
            m
            for m in deployment_manifests(spec, load_cluster_settings(), ["x"])
            if m["kind"] == "NetworkPolicy"
        ]
    try:
        backend.apply(spec)
        for manifest in rendered:
            found = cluster.get("NetworkPolicy", manifest["metadata"]["name"])
            assert found is not None
            assert found["spec"] == manifest["spec"]
    finally:
        backend.retire(spec.name)


@pytest.mark.parametrize("name", ["pet-guarded", "pet-guarded-router"])
def test_somebody_elses_policy_is_left_alone(
    backend_of: BackendOf, make_spec: MakeSpec, namespace: str, name: str
) -> None:
    spec = make_spec("pet-guarded", replicas=1)
    theirs = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }
    kubectl("apply", "--namespace", namespace, "-f", "-", stdin=json.dumps(theirs))
    backend = backend_of()
    try:
        with pytest.raises(
            InvalidInput, match=f"NetworkPolicy {name}: belongs to somebody else and is left alone"
        ):
            backend.apply(spec)
        backend.retire(spec.name)
        assert objects(namespace, spec.name) == [f"NetworkPolicy/{name}"]
    finally:
        kubectl("delete", "networkpolicy", name, "--namespace", namespace)
