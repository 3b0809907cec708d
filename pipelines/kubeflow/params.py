"""The form of a release on Kubeflow Pipelines: the release's parameters, then what its pods are given."""

import json
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from components.settings import QUANTITY
from pipelines.params import LABEL, ReleaseParams, ServingTarget

IMAGES = "ghcr.io/tunegate"
GPU_TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


def _from_json(value: object) -> object:
    """Read what the command line gives as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise PydanticCustomError("json", "wanted JSON ({reason})", {"reason": str(error)}) from error


Value = TypeVar("Value")
Json = Annotated[Value, BeforeValidator(_from_json)]


def _described(name: str) -> str:
    return str(ReleaseParams.model_fields[name].description)


class KubeflowParams(ReleaseParams):
    """The parameters of a release on Kubeflow Pipelines."""

    listed_by: ClassVar[str] = "tunegate params --kubeflow"

    image_repository: str = Field(
        min_length=1, description="Registry repository for the adapter image (host/name)."
    )
    serving_target: ServingTarget = Field("kubernetes", description=_described("serving_target"))

    # what the pods are given
    train_image: str = Field(
        f"{IMAGES}/train:0.1.0",
        min_length=1,
        description="Our image for dataset, finetune and evaluate; best by digest.",
    )
    control_image: str = Field(
        f"{IMAGES}/control:0.1.0", min_length=1, description="Our image for all other stages; best by digest."
    )
    image_pull_secret: str = Field(
        "tunegate-pull",
        pattern=LABEL,
        description="Secret that the nodes pull our images with; a public image needs none.",
    )
    train_gpus: int = Field(
        1,
        ge=0,
        le=1,
        description="GPUs of finetune and of evaluate; 0: on the CPU. Neither would use a second one.",
    )
    train_gpu_resource: str = Field(
        "nvidia.com/gpu", min_length=1, description="What the nodes call their GPUs."
    )
    train_cpu: str = Field("8", pattern=QUANTITY, description="Cores of finetune and of evaluate.")
    train_memory: str = Field("48Gi", pattern=QUANTITY, description="Memory of finetune and of evaluate.")
    train_node_selector: Json[dict[str, str]] = Field(
        {},
        description='Labels of the nodes for finetune and evaluate, such as {"nvidia.com/gpu.product": '
        '"NVIDIA-A100-SXM4-80GB"} for one type of GPU.',
    )
    train_tolerations: Json[list[dict[str, Any]]] = Field(
        [GPU_TAINT], description="Taints that finetune and evaluate put up with."
    )
    cache_claim: str = Field(
        "tunegate-cache",
        pattern=LABEL,
        description="PersistentVolumeClaim for models and checkpoints, best ReadWriteMany; at /cache.",
    )
    settings_map: str = Field(
        "tunegate-settings",
        pattern=LABEL,
        description="ConfigMap with MLFLOW_TRACKING_URI and the TUNEGATE_CLUSTER_... settings.",
    )
    credentials_secret: str = Field(
        "tunegate-credentials",
        pattern=LABEL,
        description="Secret with tokens of hub, MLflow, object storage and the models; need not be there.",
    )
    registry_secret: str = Field(
        "tunegate-registry",
        pattern=LABEL,
        description="Secret of type kubernetes.io/dockerconfigjson that adapters are pushed with; "
        "need not be there.",
    )


POD_FIELDS = [name for name in KubeflowParams.model_fields if name not in ReleaseParams.model_fields]
