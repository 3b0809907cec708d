"""How adapters get into the pods of a deployment: as the settings want it, as far as the cluster can."""

from collections.abc import Callable
from typing import Any

from components.errors import InvalidInput
from components.serve.kubernetes.cluster import Cluster, Rejected
from components.serve.kubernetes.engine_pod import AdapterSource, mounts_image
from components.serve.spec import ServingSpec
from components.settings import ClusterSettings

Manifests = Callable[[ServingSpec, AdapterSource], list[dict[str, Any]]]


def adapter_source(
    spec: ServingSpec, settings: ClusterSettings, cluster: Cluster, manifests: Manifests
) -> AdapterSource:
    """Return how adapters get into the pods: what stands here already stays as it is.

    Args:
        spec: The deployment.
        settings: What is wanted.
        cluster: Asked, by a dry run, whether it has image volumes.
        manifests: Makes the objects of a deployment; the engines' comes first.

    Raises:
        InvalidInput: As the settings want it, this cluster can't do it.
    """
    wanted = settings.adapter_source
    standing = cluster.get("Deployment", spec.name) if wanted == "auto" else None
    if standing is not None:
        return "image-volume" if mounts_image(standing) else "init-container"
    if wanted == "init-container":
        return wanted
    try:
        tried = cluster.apply(manifests(spec, "image-volume")[0], dry_run=True)
    except Rejected:  # what else it may be refused for comes to light without the volume, too
        tried = {}
    if tried and mounts_image(tried):
        return "image-volume"
    if wanted == "image-volume":
        problem = (
            "this cluster has no image volumes (Kubernetes 1.35 has, 1.31 to 1.34 behind the feature "
            "gate ImageVolume); set it to auto or init-container"
        )
        raise InvalidInput("TUNEGATE_CLUSTER_ADAPTER_SOURCE", [problem])
    return "init-container"
