"""What each stage's pod is given on the cluster: image, resources, volumes, environment, retries."""

from typing import TYPE_CHECKING, Any

from components.settings import ClusterSettings
from components.tracking.runs import SHARED_VARIABLE
from pipelines.kubeflow.settings import CompileSettings

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask

CACHE_MOUNT = "/cache"
TMP_MOUNT = "/tmp"  # HOME of the images, too; with the cache and KFP's own volumes all that is written to
REGISTRY_MOUNT = "/registry"
ENGINE_STAGES = ("finetune", "evaluate")  # need a GPU where there is one
TRAIN_STAGES = ("validate_dataset", *ENGINE_STAGES)  # need the base model
STAGE_LABEL = "tunegate.io/stage"  # by which manifests/read-only-stages knows the pods
USER_ID = 10001  # that of the images
RUN_LABEL = "metadata.labels['pipeline/runid']"  # what the back end labels each pod of a run with

SETTINGS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_S3_ENDPOINT_URL",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AZURE_STORAGE_ACCOUNT_NAME",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HTTPS_PROXY",
    "NO_PROXY",
    "TUNEGATE_DEVICE",
    "TUNEGATE_INSECURE_REGISTRIES",
    "TUNEGATE_MAX_ADAPTER_BYTES",
    "TUNEGATE_MLFLOW_URL",
    "TUNEGATE_PRIVATE_DATASETS",
    *(f"TUNEGATE_CLUSTER_{name.upper()}" for name in ClusterSettings.model_fields),
)
CREDENTIALS = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "HF_TOKEN",
    "TUNEGATE_API_KEY",
)
# As on one machine: threads that spin while they wait make each other many times slower.
ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
    SHARED_VARIABLE: "1",
    "DOCKER_CONFIG": REGISTRY_MOUNT,
}


def equip(task: "PipelineTask", stage: str, form: Any, settings: CompileSettings) -> None:
    """Give a stage's task what its pod needs.

    Args:
        task: The task.
        stage: The name of its component's function.
        form: The pipeline's parameters; what KFP lets a person choose in the form.
        settings: The rest, fixed when the package is compiled.
    """
    _environment(task, stage, form)
    _confinement(task, stage)
    _patience(task, stage, settings)
    _image(task, form.train_image if stage in TRAIN_STAGES else form.control_image, form, settings)
    if stage in TRAIN_STAGES:
        _cache(task, form, settings)
    if stage in ENGINE_STAGES:
        _engine(task, form, settings)


def _environment(task: "PipelineTask", stage: str, form: Any) -> None:
    from kfp import kubernetes

    from pipelines.graph import add_environment

    cache = CACHE_MOUNT if stage in TRAIN_STAGES else TMP_MOUNT
    places = {"TUNEGATE_HOME": f"{cache}/tunegate", "HF_HOME": f"{cache}/huggingface"}
    add_environment(task, {**ENVIRONMENT, **places})
    # Through the pod's labels: a parameter would be part of the cache key.
    kubernetes.use_field_path_as_env(task, "RELEASE_ID", RUN_LABEL)
    names = {name: name for name in SETTINGS}
    kubernetes.use_config_map_as_env(task, form.settings_map, names, optional=True)
    secrets = {name: name for name in CREDENTIALS}
    kubernetes.use_secret_as_env(task, form.credentials_secret, secrets, optional=True)
    kubernetes.use_secret_as_volume(task, form.registry_secret, REGISTRY_MOUNT, optional=True)


def _confinement(task: "PipelineTask", stage: str) -> None:
    """Run as no root, ready for a root file system that can't be written to.

    KFP itself drops every capability and the way to more. A read-only root file system it has no word for:
    manifests/read-only-stages sees to that when the pod is made.
    """
    from kfp import kubernetes

    kubernetes.set_security_context(task, run_as_user=USER_ID, run_as_group=USER_ID, run_as_non_root=True)
    kubernetes.empty_dir_mount(task, "tmp", TMP_MOUNT)
    kubernetes.add_pod_label(task, STAGE_LABEL, stage)


def _patience(task: "PipelineTask", stage: str, settings: CompileSettings) -> None:
    from kfp import kubernetes

    kubernetes.set_timeout(task, settings.timeouts_s[stage])
    tries = settings.retries.get(stage, 0)
    if tries:
        task.set_retry(
            tries, backoff_duration=f"{settings.backoff_s}s", backoff_factor=2, backoff_max_duration="600s"
        )


def _image(task: "PipelineTask", image: Any, form: Any, settings: CompileSettings) -> None:
    from kfp import kubernetes

    task.set_container_image(image)
    kubernetes.set_image_pull_policy(task, settings.image_pull_policy)
    kubernetes.set_image_pull_secrets(task, [form.image_pull_secret])


def _cache(task: "PipelineTask", form: Any, settings: CompileSettings) -> None:
    from kfp import kubernetes

    if settings.cache_volume:
        kubernetes.mount_pvc(task, form.cache_claim, CACHE_MOUNT)
    else:
        kubernetes.empty_dir_mount(task, "cache", CACHE_MOUNT)


def _engine(task: "PipelineTask", form: Any, settings: CompileSettings) -> None:
    from kfp import kubernetes

    # Inside an ExitHandler, KFP hands on only the parameters that a task is known to read.
    task.register_pipeline_channels(
        [form.train_gpu_resource, form.train_gpus, form.train_cpu, form.train_memory]
    )
    task.set_accelerator_type(form.train_gpu_resource).set_accelerator_limit(form.train_gpus)
    task.set_cpu_limit(form.train_cpu).set_memory_limit(form.train_memory)
    kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=settings.shared_memory)
    kubernetes.add_node_selector_json(task, form.train_node_selector)
    kubernetes.add_toleration_json(task, form.train_tolerations)
