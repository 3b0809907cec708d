"""Strict checks of one object by its kind's schema: a field that the schema does not know is refused."""

from typing import Any

import kubernetes_validate
import pytest
from pydantic import BaseModel

from tests.manifests import karpenter
from tests.manifests.rendering import Manifest

VERSIONS = ["1.32", kubernetes_validate.latest_version()]


# From which version on there are kinds that not all of VERSIONS have; their kustomizations say so.
SINCE = {"MutatingAdmissionPolicy": "1.36", "MutatingAdmissionPolicyBinding": "1.36"}


def is_known(manifest: Manifest, version: str) -> bool:
    """Say whether a version of Kubernetes has an object's kind, or it is of others."""
    needed, given = (
        (int(part) for part in v.split(".")[:2]) for v in (SINCE.get(manifest["kind"], "0.0"), version)
    )
    return tuple(needed) <= tuple(given)


def custom_kinds() -> dict[tuple[str, str], type[BaseModel]]:
    """Return the models of kinds that Kubernetes itself does not have."""
    from cloudcoil.models.keda import v1alpha1 as keda
    from cloudcoil.models.prometheus_operator import v1 as prometheus

    return {
        ("karpenter.sh/v1", "NodePool"): karpenter.NodePool,
        ("karpenter.k8s.aws/v1", "EC2NodeClass"): karpenter.EC2NodeClass,
        ("keda.sh/v1alpha1", "ScaledObject"): keda.ScaledObject,
        ("monitoring.coreos.com/v1", "PodMonitor"): prometheus.PodMonitor,
        ("monitoring.coreos.com/v1", "ServiceMonitor"): prometheus.ServiceMonitor,
        ("monitoring.coreos.com/v1", "PrometheusRule"): prometheus.PrometheusRule,
    }


def validate(manifest: Manifest, version: str) -> None:
    """Fail unless an object is valid.

    Args:
        manifest: The object.
        version: Of Kubernetes; the kinds of others have one version.
    """
    model = custom_kinds().get((manifest["apiVersion"], manifest["kind"]))
    if model is None:
        kubernetes_validate.validate(manifest, version, strict=True)
        return
    # Models that were generated ignore what they do not know: it is missing from what they give back.
    known = model.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_unset=True)
    lost = _lost(manifest, known, manifest["kind"])
    if lost:
        pytest.fail(f"unknown or changed: {', '.join(lost)}")


def _lost(given: Any, known: Any, where: str) -> list[str]:
    if isinstance(given, dict) and isinstance(known, dict):
        return [path for key in given for path in _lost(given[key], known.get(key), f"{where}.{key}")]
    if isinstance(given, list) and isinstance(known, list) and len(given) == len(known):
        pairs = enumerate(zip(given, known, strict=True))
        return [path for index, (one, other) in pairs for path in _lost(one, other, f"{where}[{index}]")]
    return [] if given == known else [where]
