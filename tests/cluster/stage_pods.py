"""A task of the compiled package as a pod: its command in its image, with what the package gives it."""

import json

from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from tests.cluster.conftest import kubectl
from tests.cluster.package import Json, StageFailed, Task

NODE_FOLDER = "/tmp"  # on the node; folders of the tests are made in it
STORE = "store"
ENDED = ("Succeeded", "Failed")
# What KFP's compiler gives every pod of a run, of its own accord.
POD_SECURITY = {"seccompProfile": {"type": "RuntimeDefault"}}
CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SCRATCH = ("kfp-launcher", "gcs", "s3", "minio", ".local", ".cache", ".config")  # its own volumes, in /
# What manifests/read-only-stages adds where the cluster knows that kind; the test node does not.
READ_ONLY = {"readOnlyRootFilesystem": True}
LONGEST_S = 400


class StagePods:
    """Runs tasks as pods, one after the other, and reads back what they wrote.

    Artifacts are under /minio in every pod, where kfp's executor looks for addresses with minio://, in a
    folder of the node. KFP's launcher copies them from and to the object store instead.

    Args:
        namespace: With the account tunegate-release, and the config map that the form names.
        run_id: What the back end labels the pods with.
    """

    def __init__(self, namespace: str, run_id: str) -> None:
        self.namespace, self.run_id = namespace, run_id

    def execute(self, task: Task) -> Json:
        """Run a task to its end and return its executor output.

        Raises:
            StageFailed: The pod failed.
        """
        name = f"{self.run_id[:8]}-{task.name}"
        pod = pod_of(task, name, self.run_id, self.namespace)
        kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(pod))
        ended = phase(self.namespace, name)
        if ended != "Succeeded":
            told = ("logs",) if ended in ENDED else ("describe", "pod")
            raise StageFailed(f"{task.name}: {ended}\n{kubectl(*told, name, '-n', self.namespace)}")
        wrote: Json = json.loads(read(self.namespace, task.executor_input["outputs"]["outputFile"]))
        return wrote


def pod_of(task: Task, name: str, run_id: str, namespace: str) -> Json:
    """Return the pod of a task."""
    container: Json = {
        "name": "main",
        "image": task.filled(task.container["image"]),
        "imagePullPolicy": task.platform["imagePullPolicy"],
        "command": task.command[:1],
        "args": task.command[1:],
        "env": [*task.container["env"], *_environment(task)],
        "resources": _resources(task),
        "securityContext": CONTAINER_SECURITY | _identity(task) | READ_ONLY,
    }
    volumes: list[tuple[str, str, Json]] = [
        *(
            (f"{name.strip('.')}-scratch", f"/{name}", {"emptyDir": {}})
            for name in SCRATCH
            if name != "minio"
        ),
        ("minio", "/minio", {"hostPath": {"path": f"{NODE_FOLDER}/{namespace}/minio", "type": "Directory"}}),
        *_volumes(task),
    ]
    container["volumeMounts"] = [{"name": volume, "mountPath": path} for volume, path, _ in volumes]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"pipeline/runid": run_id, **task.platform["podMetadata"]["labels"]},
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": "tunegate-release",
            "enableServiceLinks": False,
            "activeDeadlineSeconds": int(task.platform["activeDeadlineSeconds"]),
            "imagePullSecrets": [
                {"name": _named(task, secret["secretNameParameter"])}
                for secret in task.platform["imagePullSecret"]
            ],
            "nodeSelector": _node_selector(task),
            "tolerations": _tolerations(task),
            "securityContext": POD_SECURITY,
            "containers": [container],
            "volumes": [{"name": volume, **source} for volume, _, source in volumes],
        },
    }


def _identity(task: Task) -> Json:
    """Return whom the package wants the container to be; protobuf writes large numbers as text."""
    wanted = task.platform["securityContext"]
    return {key: value if isinstance(value, bool) else int(value) for key, value in wanted.items()}


def _named(task: Task, reference: Json) -> str:
    return str(task.form[reference["componentInputParameter"]])


def _node_selector(task: Task) -> Json:
    found = task.platform.get("nodeSelector")
    selector: Json = task.form[found["nodeSelectorJson"]["componentInputParameter"]] if found else {}
    return selector


def _tolerations(task: Task) -> list[Json]:
    listed = [
        task.form[found["tolerationJson"]["componentInputParameter"]]
        for found in task.platform.get("tolerations", [])
    ]
    return [toleration for several in listed for toleration in several]


def _environment(task: Task) -> list[Json]:
    fields: list[Json] = [
        {"name": field["name"], "valueFrom": {"fieldRef": {"fieldPath": field["fieldPath"]}}}
        for field in task.platform["fieldPathAsEnv"]
    ]
    for kind, name, key, reference in (
        ("configMapAsEnv", "configMapNameParameter", "configMapKey", "configMapKeyRef"),
        ("secretAsEnv", "secretNameParameter", "secretKey", "secretKeyRef"),
    ):
        for source in task.platform[kind]:
            where: Json = {"name": _named(task, source[name]), "optional": source["optional"]}
            fields += [
                {"name": item["envVar"], "valueFrom": {reference: {**where, "key": item[key]}}}
                for item in source["keyToEnv"]
            ]
    return fields


def _volumes(task: Task) -> list[tuple[str, str, Json]]:
    volumes: list[tuple[str, str, Json]] = []
    for found in task.platform["secretAsVolume"]:
        secret = {"secretName": _named(task, found["secretNameParameter"]), "optional": found["optional"]}
        volumes.append(("secret", found["mountPath"], {"secret": secret}))
    for found in task.platform.get("pvcMount", []):
        claim = {"claimName": _named(task, found["pvcNameParameter"])}
        volumes.append(("claim", found["mountPath"], {"persistentVolumeClaim": claim}))
    for found in task.platform.get("emptyDirMounts", []):
        asked = {key: found[key] for key in ("medium", "sizeLimit") if key in found}
        volumes.append((found["volumeName"], found["mountPath"], {"emptyDir": asked}))
    return volumes


def _resources(task: Task) -> Json:
    """Return limits, which are requests too; a GPU is asked for where the form wants one."""
    asked = task.container.get("resources", {})
    if not asked:
        return {}
    limits = {
        "cpu": task.filled(asked["resourceCpuLimit"]),
        "memory": task.filled(asked["resourceMemoryLimit"]),
    }
    count = task.filled(asked["accelerator"]["resourceCount"])
    if count != "0":
        limits[task.filled(asked["accelerator"]["resourceType"])] = count
    return {"limits": limits}


@retry(
    stop=stop_after_delay(LONGEST_S),
    wait=wait_fixed(0.5),
    retry=retry_if_result(lambda phase: phase not in ENDED),
    retry_error_callback=lambda state: state.outcome.result() if state.outcome else "",
)
def phase(namespace: str, pod: str) -> str:
    """Wait for a pod to end and return how; the phase it is in where it does not end in time."""
    return kubectl("get", "pod", "-n", namespace, pod, "-o", "jsonpath={.status.phase}")


def read(namespace: str, path: str) -> str:
    """Return a file of the artifacts or of the cache, as the pods see them."""
    return in_store(namespace, "cat", path)


def in_store(namespace: str, *command: str) -> str:
    """Run a command in the pod that has the node's folders."""
    return kubectl("exec", "-n", namespace, STORE, "--", *command)
