"""The shipped manifests on a real cluster: taken by its API server, and MLflow running from them.

For MLflow, TUNEGATE_TEST_MLFLOW_IMAGE names the image of `containers/mlflow`; TUNEGATE_TEST_POSTGRES_IMAGE
and TUNEGATE_TEST_S3_IMAGE those of the Dockerfiles in `stores/`; as the nodes pull them. The store is moto's.
"""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tenacity import retry, stop_after_delay, wait_fixed

from tests.cluster.conftest import kubectl
from tests.cluster.images import cluster_images
from tests.manifests.rendering import KUSTOMIZATIONS, MANIFESTS, render

STORES = Path(__file__).parent / "stores"
IMAGES = {
    "tunegate/mlflow": "mlflow",
    "docker.io/library/postgres": "postgres",
    "tunegate-test/s3": "s3",
}
READY = "--timeout=240s"


@pytest.fixture(scope="module")
def own_namespace() -> Iterator[str]:
    """A namespace for these tests alone: the policies here close it."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    name = f"tunegate-manifests-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def known_kinds(own_namespace: str) -> dict[tuple[str, str], bool]:
    """The kinds that the API server knows, and whether they stand in namespaces."""
    listed = [
        line.split()
        for line in kubectl("api-resources", "--no-headers", "--cached=false").splitlines()
        if line
    ]
    return {(words[-3], words[-1]): words[-2] == "true" for words in listed}


def moved(folder: Path, kustomization: str, namespace: str, **fields: Any) -> list[dict[str, Any]]:
    """Render a kustomization into another namespace."""
    config = {"namespace": namespace, "resources": [os.path.relpath(MANIFESTS / kustomization, folder)]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(config | fields))
    return list(yaml.safe_load_all(render(folder)))


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_the_api_server_takes_what_it_knows(
    kustomization: str, own_namespace: str, known_kinds: dict[tuple[str, str], bool], tmp_path: Path
) -> None:
    manifests = moved(tmp_path.resolve(), kustomization, own_namespace)
    known = [m for m in manifests if (m["apiVersion"], m["kind"]) in known_kinds]
    needs_more = {"monitoring", "overlays/gpu", "admission", "read-only-stages"}  # operators, a newer cluster
    assert len(known) == len(manifests) or kustomization in needs_more

    for manifest in known:
        if not known_kinds[manifest["apiVersion"], manifest["kind"]]:
            manifest["metadata"].pop("namespace", None)  # kustomize takes newer kinds for ones of a namespace
        dry = ["--dry-run=server"]  # of what belongs to the whole cluster, and of pods without their images
        runs = manifest["kind"] in ("Deployment", "StatefulSet")
        if known_kinds[manifest["apiVersion"], manifest["kind"]] and not runs:
            dry = []
        if manifest["kind"] == "Namespace":
            continue
        text = yaml.safe_dump(manifest)
        said = kubectl("apply", "-f", "-", *dry, stdin=text)
        assert "created" in said or "configured" in said or "unchanged" in said
        if not dry:
            assert "unchanged" in kubectl("apply", "-f", "-", stdin=text)


@pytest.fixture(scope="module")
def mlflow(own_namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow with its database and a store, in a namespace of its own; gives the namespace."""
    cluster_images(*IMAGES.values())
    name = f"{own_namespace}-mlflow"
    kubectl("create", "namespace", name)
    volume = None
    try:
        # As manifests/base labels a namespace whose pods may reach MLflow: the client is one of them.
        labels = ("pod-security.kubernetes.io/enforce=restricted", "tunegate.io/client=true")
        kubectl("label", "namespace", name, *labels)
        volume = make_volume(name, own_namespace)
        literals = ["--from-literal=access-key-id=test", "--from-literal=secret-access-key=test"]
        kubectl("create", "secret", "generic", "mlflow-s3", "-n", name, *literals)
        password = "--from-literal=password=p@ss:/w%rd?#"  # which an address could not hold
        kubectl("create", "secret", "generic", "mlflow-database", "-n", name, password)
        kubectl(
            "apply", "-f", "-", stdin=yaml.safe_dump_all(with_test_stores(tmp_path_factory.mktemp("o"), name))
        )
        kubectl("wait", "-n", name, "--for=condition=Ready", "pod/s3", "--timeout=100s")
        make_bucket = "import boto3; boto3.client('s3').create_bucket(Bucket='tunegate')"
        store = [
            "AWS_ACCESS_KEY_ID=test",
            "AWS_SECRET_ACCESS_KEY=test",
            "AWS_ENDPOINT_URL=http://127.0.0.1:9000",
        ]
        region = "AWS_DEFAULT_REGION=us-east-1"
        kubectl("exec", "-n", name, "s3", "--", "env", *store, region, "python", "-c", make_bucket)
        wait_rolled_out(name)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--timeout=240s", timeout_s=250)
        if volume:
            kubectl("delete", "persistentvolume", volume)
            on_node(own_namespace, f"rm -rf /data/{name}")


def with_test_stores(folder: Path, namespace: str) -> list[dict[str, Any]]:
    """Return manifests/mlflow with the test's images and its S3 store."""
    shutil.copy(STORES / "s3.yaml", folder)
    images = []
    for image, built in zip(IMAGES, cluster_images(*IMAGES.values()), strict=True):
        name, _, digest = built.partition("@")
        images.append({"name": image, "newName": name, "digest": digest})
    images[0]["name"] = "registry.example.com/tunegate/mlflow"
    settings = {
        "name": "mlflow-settings",
        "behavior": "merge",
        "literals": [
            f"MLFLOW_S3_ENDPOINT_URL=http://s3.{namespace}:9000",
            "MLFLOW_ARTIFACTS_DESTINATION=s3://tunegate/artifacts",
            "AWS_DEFAULT_REGION=us-east-1",
            f"MLFLOW_SERVER_ALLOWED_HOSTS=mlflow.{namespace}:5000",
        ],
    }
    # The test node's cores are spoken for.
    cpu = {"op": "replace", "path": "/spec/template/spec/containers/0/resources/requests/cpu", "value": "20m"}
    first = cpu | {"path": cpu["path"].replace("containers", "initContainers")}
    patches = [
        {"target": {"kind": "StatefulSet"}, "patch": yaml.safe_dump([cpu])},
        {"target": {"kind": "Deployment"}, "patch": yaml.safe_dump([cpu, first])},
    ]
    changed = {"images": images, "configMapGenerator": [settings], "patches": patches}
    resources = [os.path.relpath(MANIFESTS / "mlflow", folder), "s3.yaml"]
    return moved(folder, "mlflow", namespace, resources=resources, **changed)


def make_volume(namespace: str, helpers: str) -> str | None:
    """Make a volume on the node for the database where the cluster makes none itself; return its name.

    Args:
        namespace: Of the database; its folder on the node is called so.
        helpers: A namespace in which a pod may run as root.
    """
    classes = json.loads(kubectl("get", "storageclasses", "-o", "json"))["items"]
    default = "storageclass.kubernetes.io/is-default-class"
    if any(c["metadata"].get("annotations", {}).get(default) == "true" for c in classes):
        return None
    name = f"{namespace}-database"
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "20Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": f"/tmp/{namespace}", "type": "Directory"},
            "claimRef": claim | {"name": "data-mlflow-database-0"},
        },
    }
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump(volume))
    # fsGroup does not reach a folder of the node: it is given to PostgreSQL's user by hand.
    on_node(helpers, f"mkdir /data/{namespace} && chown 999:999 /data/{namespace}")
    return name


def on_node(namespace: str, command: str) -> None:
    """Run a command as root with the node's /tmp at /data."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "on-node"},
        "spec": {
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "command",
                    "image": cluster_images("mlflow")[0],
                    "command": ["sh", "-c", command],
                    "securityContext": {"runAsUser": 0},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "hostPath": {"path": "/tmp"}}],
        },
    }
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod))
    succeeded(namespace, "on-node")
    kubectl("delete", "pod", "-n", namespace, "on-node")


def succeeded(namespace: str, pod: str) -> str:
    """Wait for a pod to end well and return its log."""
    phase = ended(namespace, pod)
    log = kubectl("logs", "-n", namespace, pod)
    assert phase == "Succeeded", log
    return log


@retry(stop=stop_after_delay(180), wait=wait_fixed(0.5), reraise=True)
def ended(namespace: str, pod: str) -> str:
    phase = kubectl("get", "pod", "-n", namespace, pod, "-o", "jsonpath={.status.phase}")
    assert phase in ("Succeeded", "Failed"), f"{pod} is still {phase}"
    return phase


def wait_rolled_out(namespace: str) -> None:
    for workload in ("statefulset/mlflow-database", "deployment/mlflow"):
        subprocess.run(
            ["kubectl", "rollout", "status", "-n", namespace, workload, READY], check=True, timeout=300
        )


def client(namespace: str, name: str, *arguments: str) -> dict[str, Any]:
    """Run the client in a pod without secrets and return what it printed."""
    env = {"MLFLOW_TRACKING_URI": f"http://mlflow.{namespace}:5000", "HOME": "/tmp"}
    confined = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    container = {
        "name": "client",
        "image": cluster_images("mlflow")[0],
        "command": ["python", "-c", (STORES / "client.py").read_text(), *arguments],
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "securityContext": confined,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(pod))
    printed: dict[str, Any] = json.loads(succeeded(namespace, name).splitlines()[-1])
    return printed


def test_a_client_logs_a_run_with_artifacts_and_finds_it_after_the_database_was_killed(mlflow: str) -> None:
    logged = client(mlflow, "writer", "log")

    assert logged | {"run": ""} == {
        "run": "",
        "artifacts": "mlflow-artifacts",  # passed on by MLflow: the client has no credentials of the store
        "lora_r": "16",
        "losses": 3,
        "verdict": "promoted",
        "large": 20_000_000,
        "other_host": 403,
    }

    kubectl("delete", "pod", "-n", mlflow, "mlflow-database-0", "--grace-period=0", "--force")
    wait_rolled_out(mlflow)

    assert client(mlflow, "reader", "read", str(logged["run"])) == logged


def test_a_second_server_finds_the_tables_as_they_are(mlflow: str) -> None:
    kubectl("rollout", "restart", "-n", mlflow, "deployment/mlflow")

    wait_rolled_out(mlflow)
