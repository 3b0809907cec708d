"""A namespace in which the compiled package can run: its claim, its config map, MLflow and a dataset."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import yaml

from tests.cluster.conftest import kubectl, new_namespace
from tests.cluster.images import cluster_images
from tests.cluster.package import Json
from tests.cluster.stage_pods import NODE_FOLDER, STORE, in_store

PULLED_S = 400


@dataclass(frozen=True)
class StageImages:
    """The images that the stages, MLflow and the replicas run in."""

    control: str
    stand_in: str
    train: str
    mlflow: str

    @property
    def registry(self) -> str:
        return self.control.partition("/")[0]


def stage_images() -> StageImages:
    """Return the images; skip where there is no cluster to run them on."""
    return StageImages(*cluster_images("control", "stand-in", "train", "mlflow"))


@contextmanager
def stage_namespace(images: StageImages) -> Iterator[str]:
    """Make the namespace, with the pet store's files at /cache/petstore; nothing of it stays."""
    with new_namespace() as name:
        objects = [
            *_claim(name),
            _store(name, images.train),
            _settings(name, images),
        ]
        try:
            tracking = tracking_namespace(name)
            kubectl("create", "namespace", tracking)
            servers = _tracking_server(tracking, images.mlflow)
            for place, wanted in ((name, objects), (tracking, servers)):
                kubectl("apply", "-n", place, "-f", "-", stdin=yaml.safe_dump_all(wanted))
            ready = ("--for=condition=Ready", f"--timeout={PULLED_S}s")  # the nodes pull large images
            for place, pod in ((name, STORE), (tracking, "mlflow")):
                kubectl("wait", "-n", place, *ready, f"pod/{pod}", timeout_s=PULLED_S + 10)
            find = "import components.dataset.petstore as petstore; print(petstore.__path__[0])"
            in_store(name, "cp", "-r", in_store(name, "python", "-c", find).strip(), "/cache/petstore")
            yield name
        finally:
            kubectl("delete", "persistentvolume", name, "--ignore-not-found", "--wait=false")
            kubectl("delete", "namespace", tracking_namespace(name), "--ignore-not-found", "--wait=false")
            in_store(name, "rm", "-rf", f"/node/{name}")


def tracking_namespace(namespace: str) -> str:
    """Return the namespace of MLflow, which is not that of the releases."""
    return f"{namespace}-tracking"


def tracking_address(namespace: str) -> str:
    """Return where MLflow is asked by the stages of a namespace."""
    return f"http://mlflow.{tracking_namespace(namespace)}:5000"


def _settings(namespace: str, images: StageImages) -> Json:
    """Return the config map that the form names: small replicas on a CPU."""
    serving = {
        "NAMESPACE": namespace,
        "CONTROL_IMAGE": images.control,
        "SERVE_IMAGE": images.stand_in,
        "GPUS": "0",
        "CPU": "20m",
        "MEMORY": "256Mi",
        "SHARED_MEMORY": "16Mi",
        "ROUTER_CPU": "20m",
        "ROUTER_REPLICAS": "1",
        "DRAIN_S": "30",
    }
    values = {
        "MLFLOW_TRACKING_URI": tracking_address(namespace),
        "TUNEGATE_DEVICE": "cpu",
        "TUNEGATE_INSECURE_REGISTRIES": images.registry,
        **{f"TUNEGATE_CLUSTER_{name}": value for name, value in serving.items()},
    }
    return _object("ConfigMap", "tunegate-settings", data=values)


def _store(namespace: str, image: str) -> Json:
    """Return a pod that has the artifacts and the cache where the stages' pods have them, as root."""
    folder = f"/node/{namespace}"
    steps = [
        f"mkdir -p {folder}/minio {folder}/cache",
        f"chown 10001:10001 {folder}/minio {folder}/cache",
        f"ln -s {folder}/minio /minio",
        f"ln -s {folder}/cache /cache",
        "touch /ready",
        "exec sleep infinity",
    ]
    container = {
        "name": "store",
        "image": image,
        "command": ["sh", "-ec", "\n".join(steps)],
        "readinessProbe": {"exec": {"command": ["test", "-e", "/ready"]}, "periodSeconds": 1},
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "node", "mountPath": "/node"}],
    }
    volume = {"name": "node", "hostPath": {"path": NODE_FOLDER}}
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": [volume]}
    return _object("Pod", STORE, spec=spec)


def _claim(namespace: str) -> list[Json]:
    """Return the claim of models and checkpoints with a folder of the node behind it."""
    claimed = {"kind": "PersistentVolumeClaim", "name": "tunegate-cache", "namespace": namespace}
    size = {"storage": "10Gi"}
    shared: Json = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {
        "capacity": size,
        "hostPath": {"path": f"{NODE_FOLDER}/{namespace}/cache"},
        "claimRef": {"apiVersion": "v1", **claimed},
        "persistentVolumeReclaimPolicy": "Retain",
    }
    wanted = {"resources": {"requests": size}, "volumeName": namespace}
    return [
        _object("PersistentVolume", namespace, spec=shared | volume),
        _object("PersistentVolumeClaim", "tunegate-cache", spec=shared | wanted),
    ]


def _tracking_server(namespace: str, image: str) -> list[Json]:
    """Return an MLflow server that keeps everything in its pod, and its Service."""
    labels = {"app.kubernetes.io/name": "mlflow"}
    container = {
        "name": "mlflow",
        "image": image,
        "command": ["mlflow", "server", "--host=0.0.0.0", "--port=5000", "--workers=1"],
        "args": [
            "--backend-store-uri=sqlite:////tmp/mlflow.db",
            "--artifacts-destination=/tmp/artifacts",
            f"--allowed-hosts=mlflow.{namespace}:5000",
        ],
        "env": [{"name": "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "value": "false"}],
        "readinessProbe": {"tcpSocket": {"port": 5000}, "periodSeconds": 1},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    volume = {"name": "tmp", "emptyDir": {}}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container], "volumes": [volume]}
    service = {"selector": labels, "ports": [{"port": 5000, "targetPort": 5000}]}
    return [_object("Pod", "mlflow", labels, spec=pod), _object("Service", "mlflow", spec=service)]


def _object(kind: str, name: str, labels: dict[str, str] | None = None, **fields: Json) -> Json:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels or {}}, **fields}
