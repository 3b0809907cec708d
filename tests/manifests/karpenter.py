"""The fields of Karpenter's kinds that are in use, as its documentation has them; all else is refused."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Duration = Annotated[str, StringConstraints(pattern=r"^(([0-9]+(s|m|h))+|Never)$")]
Quantity = Annotated[str, StringConstraints(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti)?$")]
NodeCount = Annotated[str, StringConstraints(pattern=r"^((100|[0-9]{1,2})%|[0-9]+)$")]


class Strict(BaseModel):
    """A part of an object; its fields are written in camel case."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class Metadata(Strict):
    """Of cluster-scoped objects: there is no namespace."""

    name: str
    labels: dict[str, str] = {}


class NodeClassRef(Strict):
    """The object that says what the nodes are made of."""

    group: str
    kind: str
    name: str


class Taint(Strict):
    """What a pod has to tolerate."""

    key: str
    value: str = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


class Requirement(Strict):
    """Which nodes may be had."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: list[str] = []
    min_values: int | None = None


class NodeSpec(Strict):
    """Of the nodes of a pool."""

    node_class_ref: NodeClassRef
    requirements: list[Requirement]
    taints: list[Taint] = []
    expire_after: Duration = "720h"
    termination_grace_period: Duration | None = None


class TemplateMetadata(Strict):
    """What the nodes of a pool are marked with."""

    labels: dict[str, str] = {}


class Template(Strict):
    """Of the nodes of a pool."""

    metadata: TemplateMetadata = TemplateMetadata()
    spec: NodeSpec


class Budget(Strict):
    """How many nodes may be disrupted at once."""

    nodes: NodeCount
    reasons: list[Literal["Underutilized", "Empty", "Drifted"]] = []


class Disruption(Strict):
    """When nodes are taken away."""

    consolidation_policy: Literal["WhenEmpty", "WhenEmptyOrUnderutilized"]
    consolidate_after: Duration
    budgets: list[Budget] = []


class NodePoolSpec(Strict):
    """Of a pool."""

    template: Template
    disruption: Disruption
    limits: dict[str, Quantity] = {}
    weight: int | None = Field(None, ge=1, le=100)


class NodePool(Strict):
    """karpenter.sh/v1."""

    api_version: Literal["karpenter.sh/v1"]
    kind: Literal["NodePool"]
    metadata: Metadata
    spec: NodePoolSpec


class ByTags(Strict):
    """Something of the cloud, found by its tags."""

    tags: dict[str, str]


class ByAlias(Strict):
    """Machine images, by family and version."""

    alias: str = Field(pattern=r"^[a-z0-9]+@v[0-9.]+$")  # a version: `latest` would change nodes unasked


class Ebs(Strict):
    """A volume."""

    volume_size: Quantity
    volume_type: Literal["gp3", "gp2", "io1", "io2"]
    throughput: int = Field(ge=125, le=2000)
    iops: int = Field(ge=3000, le=80000)
    encrypted: bool
    delete_on_termination: bool


class BlockDevice(Strict):
    """A disk of a node."""

    device_name: str
    root_volume: bool
    ebs: Ebs


class MetadataOptions(Strict):
    """Who may ask for a node's credentials."""

    http_tokens: Literal["required", "optional"]
    http_put_response_hop_limit: int = Field(ge=1, le=64)


class EC2NodeClassSpec(Strict):
    """Of nodes on AWS."""

    ami_selector_terms: list[ByAlias]
    role: str
    subnet_selector_terms: list[ByTags]
    security_group_selector_terms: list[ByTags]
    block_device_mappings: list[BlockDevice]
    metadata_options: MetadataOptions
    tags: dict[str, str] = {}


class EC2NodeClass(Strict):
    """karpenter.k8s.aws/v1."""

    api_version: Literal["karpenter.k8s.aws/v1"]
    kind: Literal["EC2NodeClass"]
    metadata: Metadata
    spec: EC2NodeClassSpec
