"""What Tunegate adds to a deployment on a cluster, and how long a promotion takes to switch.

    python tests/bench/bench_cluster.py

Each pair is measured in turns in this one run: a deployment of ours against a plain Deployment of the same
engine, a promotion against a plain change of a Service's selector. The engine is a stand-in that listens
after a few seconds; the difference of a pair is free of them. KUBECONFIG and
TUNEGATE_TEST_{CONTROL,STAND_IN}_IMAGE name the cluster and the images, as for tests/cluster.
"""

import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.checks import Check, at_most
from components.oci.adapter_images import PushedImage, push_adapter
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.cluster import Cluster
from components.serve.kubernetes.router_pod import ROUTER_PORT_NAME
from components.serve.spec import ServingSpec

NEEDED = ("KUBECONFIG", "TUNEGATE_TEST_CONTROL_IMAGE", "TUNEGATE_TEST_STAND_IN_IMAGE")
MANIFESTS = Path(__file__).parents[2] / "manifests" / "base"
DEPLOYMENTS, SWITCHES, REPLICAS = 8, 10, 2
TIMEOUT_S = 120
SETTLE_S = 5  # a node's agent may be held to a few requests a second, and has just ended pods
# The fastest real start takes longer. With one of no time, what a node's agent still has to tell of a pod's
# beginning, a few requests a second, would be measured as ours.
START_S = 5
ENGINE = ["python", "/opt/replica_server.py", "--host", "0.0.0.0", "--port", "8000", "--base", "base"]
ENGINE += ["--start-s", str(START_S)]


def main() -> int:
    """Measure, print, and fail where a limit is missed."""
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        print(f"bench_cluster: {', '.join(missing)} not set, so there is no cluster to measure on")
        return 0
    with namespace() as name, tempfile.TemporaryDirectory() as home:
        settings = {
            "namespace": name,
            "control_image": os.environ[NEEDED[1]],
            "serve_image": os.environ[NEEDED[2]],
            "gpus": "0",
            "cpu": "20m",
            "memory": "256Mi",
            "router_cpu": "20m",
            "router_replicas": "1",
        }
        os.environ |= {f"TUNEGATE_CLUSTER_{key.upper()}": value for key, value in settings.items()}
        os.environ |= {"TUNEGATE_HOME": home, "RELEASE_ID": "bench"}
        backend, cluster = KubernetesBackend(engine), Cluster(name)
        image = push(Path(home))
        checks = [deploying(backend, cluster, image), switching(backend, cluster, image)]
    for check in checks:
        print(f"{check.name}: {check.value:.2f} {check.unit}, at most {check.limit}: {check.status}")
    return 0 if all(check.status == "passed" for check in checks) else 1


def deploying(backend: KubernetesBackend, cluster: Cluster, image: PushedImage) -> Check:
    """Deploy with and without us."""
    seconds: dict[str, list[float]] = {"Tunegate": [], "plain Deployment": []}
    for turn in range(DEPLOYMENTS):
        time.sleep(SETTLE_S)
        spec, started = spec_of(f"bench-{turn}", image), time.monotonic()
        backend.apply(spec)
        backend.wait_ready(spec.name, TIMEOUT_S)
        seconds["Tunegate"].append(time.monotonic() - started)
        backend.retire(spec.name)
        time.sleep(SETTLE_S)
        manifest, started = plain(f"plain-{turn}"), time.monotonic()
        cluster.apply(manifest)
        wait(lambda: ready(cluster, f"plain-{turn}"))  # noqa: B023  # called in this turn only
        seconds["plain Deployment"].append(time.monotonic() - started)
        cluster.delete("Deployment", f"plain-{turn}")
        wait(lambda: not cluster.list("Pod", f"app=plain-{turn}"))  # noqa: B023
    ours, theirs = report(f"{REPLICAS} replicas, applied to ready", seconds)
    why = "what is not the cluster's own work must not be noticed beside an engine's start"
    return at_most("deployment_share_s", ours - theirs, 3.0, "s", why)


def switching(backend: KubernetesBackend, cluster: Cluster, image: PushedImage) -> Check:
    """Promote in turns, and change the selector of a plain Service in turns."""
    names = ["bench-a", "bench-b"]
    for name in names:
        backend.apply(spec_of(name, image))
    for name in names:
        backend.wait_ready(name, TIMEOUT_S)
    backend.promote(names[1])
    seconds: dict[str, list[float]] = {"promotion": [], "plain Service": []}
    for turn in range(SWITCHES):
        name, started = names[turn % 2], time.monotonic()
        backend.promote(name)
        seconds["promotion"].append(time.monotonic() - started)
        addresses, started = pods_of(cluster, name), time.monotonic()
        cluster.apply(service(name))
        wait(lambda: endpoints(cluster) == addresses)  # noqa: B023  # called in this turn only
        seconds["plain Service"].append(time.monotonic() - started)
    ours, _ = report("a switch of the traffic", seconds)
    return at_most("promotion_switch_s", ours, 2.0, "s", "a promotion must not be noticed")


def report(what: str, seconds: dict[str, list[float]]) -> tuple[float, float]:
    """Print the medians of a pair and their ratio; return the medians."""
    ours, theirs = (statistics.median(values) for values in seconds.values())
    print(f"\n{what}: median of {len(next(iter(seconds.values())))}")
    for name, values in seconds.items():
        print(f"  {name:<20}{statistics.median(values):7.2f} s   {min(values):.2f} to {max(values):.2f}")
    print(f"  ratio               {ours / theirs:7.2f}")
    return ours, theirs


def engine(spec: ServingSpec) -> list[str]:
    """Return what a replica runs."""
    return [*ENGINE, "--adapter", spec.model_name, "--answer", spec.name]


def spec_of(name: str, image: PushedImage) -> ServingSpec:
    """Return a small deployment."""
    return ServingSpec(
        name=name,
        model_name="bench",
        base_model="org/base",
        image=image.reference,
        adapter_digest=image.adapter_digest,
        lora_r=4,
        replicas=REPLICAS,
        max_model_len=256,
    )


def plain(name: str) -> dict[str, object]:
    """Return a Deployment of the same engine as anybody would write it."""
    container = {
        "name": "engine",
        "image": os.environ[NEEDED[2]],
        "command": [*ENGINE, "--adapter", "bench"],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m"}},
    }
    labels, pod = {"app": name}, {"containers": [container], "terminationGracePeriodSeconds": 1}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def service(name: str) -> dict[str, object]:
    """Return a plain Service that sends to a deployment's routers."""
    selector = {"app.kubernetes.io/instance": name, "app.kubernetes.io/component": "router"}
    port = {"name": "http", "port": 80, "targetPort": ROUTER_PORT_NAME}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "plain"},
        "spec": {"selector": selector, "ports": [port]},
    }


def ready(cluster: Cluster, name: str) -> bool:
    """Say whether a plain Deployment has all its replicas."""
    found = cluster.get("Deployment", name) or {}
    return bool((found.get("status") or {}).get("readyReplicas") == REPLICAS)


def pods_of(cluster: Cluster, name: str) -> set[str]:
    """Return the addresses of a deployment's routers."""
    labels = f"app.kubernetes.io/instance={name},app.kubernetes.io/component=router"
    return {pod["status"]["podIP"] for pod in cluster.list("Pod", labels)}


def endpoints(cluster: Cluster) -> set[str]:
    """Return the addresses that the plain Service sends to."""
    subsets = (cluster.get("Endpoints", "plain") or {}).get("subsets") or []
    return {address["ip"] for subset in subsets for address in subset.get("addresses") or []}


def wait(until: Callable[[], bool]) -> None:
    """Wait for something as eagerly as the back end does."""
    deadline = time.monotonic() + TIMEOUT_S
    while not until():
        if time.monotonic() > deadline:
            raise SystemExit("the cluster did not come to it in time")
        time.sleep(0.1)


def push(folder: Path) -> PushedImage:
    """Put an adapter into the registry of the images."""
    adapter = folder / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 4}')
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    registry = os.environ[NEEDED[1]].partition("/")[0]
    return push_adapter(adapter, f"{registry}/tunegate-bench/adapter", {}, "bench")


@contextmanager
def namespace() -> Iterator[str]:
    """Make a namespace with the accounts of manifests/base, and delete it with all that is in it."""
    name = f"tunegate-bench-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    try:
        for file in ("router-account.yaml", "release-account.yaml"):
            kubectl("apply", "--namespace", name, "-f", str(MANIFESTS / file))
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


def kubectl(*arguments: str) -> None:
    """Run kubectl."""
    subprocess.run(["kubectl", *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
