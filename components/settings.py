"""Where Tunegate keeps its state on this machine and what the machine has."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from components.errors import InvalidInput
from components.web import parse_address, shown

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"


# Control characters, and what the address of MLflow's database would read as something else.
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f?]|%[0-9A-Fa-f]{2}")


def home() -> Path:
    """Return the state directory: `TUNEGATE_HOME`, by default `.tunegate` in the working directory.

    Raises:
        InvalidInput: Its name has something in it that not everything which is told it could read.
    """
    folder = Path(os.environ.get("TUNEGATE_HOME", ".tunegate")).resolve()
    if found := _UNUSABLE.search(str(folder)):
        problem = (
            f"got {str(folder)!r}, which has {found[0]!r} in it: MLflow's database would be looked for "
            "elsewhere; wanted a path without ?, line breaks, other control characters and %XX"
        )
        raise InvalidInput("TUNEGATE_HOME", [problem])
    return folder


def make_home() -> Path:
    """Make the state directory, for us alone, where there is none yet, and return it.

    One that a person has made keeps its mode: they may share it.
    """
    folder = home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def models_folder() -> Path:
    """Return where base models that came as packages are kept as weights, which take a while to make.

    That is `TUNEGATE_MODELS`, which our images set and fill, by default `models` in the state directory.
    """
    return Path(os.environ.get("TUNEGATE_MODELS") or home() / "models").resolve()


def free_memory_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the memory that this process can still use, its container's limit (cgroup v2) included."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        stat = dict(
            line.split() for line in (cgroup / "memory.stat").read_text(encoding="ascii").splitlines()
        )
    except OSError:
        return free
    # Pages of files are counted as used but are given up when memory is short.
    return free if limit == "max" else min(free, int(limit) - used + int(stat["inactive_file"]))


Model = TypeVar("Model", bound=BaseSettings)


def _web_address(value: str) -> str:
    """Take an address as it was parsed, so that nobody reads it differently; empty stays empty."""
    try:
        address = parse_address(value) if value else None
    except InvalidInput as error:
        problem = "; ".join(error.problems)
        raise PydanticCustomError("address", "it {problem}", {"problem": problem}) from error
    if address is not None and address.query:
        raise PydanticCustomError("query", "it has a part after ?; wanted an address without one")
    return str(address or "").rstrip("/")


WebAddress = Annotated[str, AfterValidator(_web_address)]


class Settings(BaseSettings):
    """What the set-up wrote down about this machine, in `settings.env` of the state directory.

    An environment variable of the same name, with the prefix `TUNEGATE_`, wins over the file.
    """

    model_config = SettingsConfigDict(
        env_prefix="TUNEGATE_", title="settings of this machine", frozen=True, extra="ignore"
    )

    device: Literal["cpu", "cuda"] = Field("cpu", description="What models are trained and served on.")
    gpus: int = Field(1, ge=1, description="How many GPUs a machine with `cuda` has.")
    mlflow_port: int = Field(5000, ge=1, le=65535, description="Port of `tunegate mlflow`.")
    mlflow_url: WebAddress = Field(
        "",
        description="Where people open MLflow, for links on pages and cards; empty: MLFLOW_TRACKING_URI, or "
        "`tunegate mlflow`.",
    )
    insecure_registries: str = Field(
        "",
        description="Registries besides this machine's to speak plain http with: host[:port], with commas.",
    )
    private_datasets: list[IPvAnyNetwork] = Field(
        [],
        description="Private address ranges (CIDR, as JSON) that datasets may be fetched from by http and "
        'https, and from registries: ["127.0.0.0/8"] for this machine. Empty: public addresses alone. A '
        "registry with a login on this machine, or one of insecure_registries, may stand anywhere.",
    )
    max_adapter_bytes: int = Field(
        16 << 30,
        ge=1 << 20,
        description="Largest adapter that is pushed or pulled, bytes. The default has room for rank 512 on "
        "all layers of a 70B model in bfloat16, or rank 256 in float32.",
    )
    api_keys: str = Field(
        "",
        description="Directory with a file for each user who may ask the models served here, named like "
        "them, their key in it. Empty: whoever reaches this machine may ask.",
    )
    api_key: SecretStr = Field(
        SecretStr(""), description="Key that this machine asks models with, here or on a cluster."
    )


def read_settings(model: type[Model]) -> Model:
    """Read settings from the environment and from `settings.env` of the state directory.

    Args:
        model: Their class; its title is what they are called in an error.

    Raises:
        InvalidInput: Every setting that is wrong.
    """
    prefix, what = str(model.model_config["env_prefix"]), str(model.model_config["title"])
    try:
        return model(_env_file=home() / "settings.env")
    except ValidationError as error:
        problems = [
            f"{prefix}{'.'.join(map(str, e['loc'])).upper()}: got {shown(repr(e['input']))}, "
            f"{e['msg'].lower()}"
            for e in error.errors()
        ]
        raise InvalidInput(what, problems) from error
    except SettingsError as error:
        raise InvalidInput(what, [f"{error}; wanted JSON"]) from error


def load_settings() -> Settings:
    """Read the settings of this machine.

    Raises:
        InvalidInput: Every setting that is wrong.
    """
    return read_settings(Settings)


def _engine_variable(name: str) -> str:
    """Refuse what is not for a person to set in the open; by name, so that no error tells a value."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise PydanticCustomError("name", "wanted the name of an environment variable")
    if name == "HF_TOKEN":
        raise PydanticCustomError("secret", "which belongs in a secret; name that one in hub_secret")
    if name.startswith("TUNEGATE_"):
        raise PydanticCustomError("own", "which each deployment sets itself; leave it out")
    return name


class ClusterSettings(BaseSettings):
    """How models are served on a Kubernetes cluster; `TUNEGATE_CLUSTER_...` in the environment.

    Mappings and lists are given as JSON.
    """

    model_config = SettingsConfigDict(
        env_prefix="TUNEGATE_CLUSTER_", title="settings of the cluster", frozen=True, extra="ignore"
    )

    namespace: str = Field("tunegate", description="Where everything is applied; it has to be there.")
    control_image: str = Field("", description="Our image without an engine: fetches adapters, routes.")
    serve_image: str = Field("", description="Our image with vLLM.")
    image_pull_secrets: list[str] = Field([], description="Secrets that the nodes pull our images with.")
    registry_secret: str = Field(
        "", description="Secret of type kubernetes.io/dockerconfigjson that adapters are pulled with."
    )
    adapter_source: Literal["auto", "image-volume", "init-container"] = Field(
        "auto",
        description="How an adapter gets into a pod: its image mounted as a volume by the node, which pulls "
        "it with image_pull_secrets, or pulled by our init container. auto: as a volume where the API "
        "server knows such volumes.",
    )
    api_keys_secret: str = Field(
        "",
        description="Secret with an entry for each user who may ask the models, named like them, their key "
        "as its value. Empty: whoever reaches a router may ask.",
    )
    hub_secret: str = Field(
        "",
        description="Secret with an entry HF_TOKEN, which engines fetch gated and private models with.",
    )
    engine_env: dict[Annotated[str, AfterValidator(_engine_variable)], str] = Field(
        {},
        description="Variables of engines and of what fetches their adapters, such as HF_ENDPOINT, "
        "HTTPS_PROXY, HTTP_PROXY and NO_PROXY; they win over those that engines have by default.",
    )
    gpus: int = Field(
        1, ge=0, description="GPUs of a replica, of which its engine uses one; 0: served on the CPU."
    )
    gpu_resource: str = Field("nvidia.com/gpu", description="What the nodes call their GPUs.")
    gpu_type: str = Field("", description="Wanted value of the nodes' label nvidia.com/gpu.product.")
    cpu: str = Field("4", pattern=QUANTITY, description="Cores that a replica is promised.")
    memory: str = Field(
        "16Gi", pattern=QUANTITY, description="Memory that a replica is promised, and its limit."
    )
    shared_memory: str = Field("2Gi", pattern=QUANTITY, description="Size of /dev/shm; part of the memory.")
    node_selector: dict[str, str] = Field({}, description="Labels of the nodes that replicas run on.")
    tolerations: list[dict[str, str | int]] = Field([], description="Taints that replicas put up with.")
    cache_claim: str = Field(
        "",
        description="PersistentVolumeClaim, best ReadWriteMany, for models and compiled kernels. "
        "Empty: each pod downloads and compiles for itself.",
    )
    egress: list[IPvAnyNetwork] = Field(
        [],
        description="Address ranges (CIDR) that engines and what fetches adapters may send to, besides DNS: "
        "the registry's, the model hub's. Empty: nothing leaves them.",
    )
    api_server: list[IPvAnyNetwork] = Field(
        [], description="Address ranges of the API server, which routers ask. Empty: any, at 443 and 6443."
    )
    client_namespaces: dict[str, str] = Field(
        {}, description="Labels of other namespaces whose pods may ask the routers. Empty: only our own."
    )
    client_ranges: list[IPvAnyNetwork] = Field(
        [], description="Address ranges outside the cluster (CIDR) that may ask the routers. Empty: none."
    )
    monitoring_namespaces: dict[str, str] = Field(
        {}, description="Labels of the namespaces whose pods may read metrics. Empty: none."
    )
    priority_class: str = Field("", description="PriorityClass of engines and routers; it has to be there.")
    router_cpu: str = Field("100m", pattern=QUANTITY, description="Cores that a router is promised.")
    router_replicas: int = Field(2, ge=1, le=16, description="Copies of each deployment's router.")
    autoscale_max_replicas: int = Field(
        0,
        ge=0,
        description="Most replicas that KEDA may give a champion; its own number is the fewest. A candidate "
        "is never scaled. 0: no autoscaling.",
    )
    autoscale_prometheus: WebAddress = Field(
        "",
        description="Prometheus that KEDA asks, as a URL; it scrapes the engines, see manifests/monitoring.",
    )
    autoscale_waiting: int = Field(
        4, ge=1, description="Requests waiting for each replica that are put up with before there are more."
    )
    max_start_s: int = Field(1800, ge=10, description="Longest start of a replica, model download included.")
    drain_s: int = Field(120, ge=10, description="Longest wait for requests in flight when a pod ends.")
    schedule_patience_s: int = Field(
        15, ge=0, description="How long a pod may find no node before the roll-out is given up."
    )

    @field_validator("autoscale_prometheus")
    @classmethod
    def _is_set_where_it_is_asked(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("autoscale_max_replicas") and not value:
            raise PydanticCustomError(
                "unset",
                "wanted the url of a prometheus, which autoscaling needs, or no autoscale_max_replicas",
            )
        return value


def load_cluster_settings() -> ClusterSettings:
    """Read the settings of the cluster.

    Raises:
        InvalidInput: Every setting that is wrong.
    """
    return read_settings(ClusterSettings)
