"""What can be known of a cluster before anything is applied to it."""

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from components.engine.api_keys import KEY_VARIABLE, client_key
from components.errors import InvalidInput, TunegateError
from components.models import IMAGE_PACKAGES, is_in_images
from components.oci.registry import RegistryRepository
from components.serve.kubernetes.cluster import Cluster, too_old
from components.serve.kubernetes.engine_pod import CACHE
from components.serve.kubernetes.rights import AUTOSCALER_RIGHTS, RELEASE_RIGHTS
from components.settings import ClusterSettings

API_SERVICE = ("kubernetes.default.svc", 443)  # every cluster has it
CONNECT_TIMEOUT_S = 5
IMAGES = ("control_image", "serve_image")


def unset_images(settings: ClusterSettings) -> list[str]:
    """Return a problem for each of our images that is not named."""
    return [
        f"TUNEGATE_CLUSTER_{name.upper()}: is not set; build the image from containers/ and name it by digest"
        for name in IMAGES
        if not getattr(settings, name)
    ]


def missing_images(settings: ClusterSettings) -> list[str]:
    """Return a problem for each of our images that is not named, or that its registry says is not there.

    The nodes may have other credentials than we: an answer that is not a plain no counts as none.
    """
    problems = unset_images(settings)
    for name in IMAGES:
        reference = getattr(settings, name)
        if why := _why_not_there(reference):
            problems.append(f"TUNEGATE_CLUSTER_{name.upper()} {reference}: {why}")
    return problems


def missing_key(settings: ClusterSettings) -> list[str]:
    """Return a problem if models will ask for a key and we have none to show."""
    if not settings.api_keys_secret or client_key():
        return []
    return [
        f"{KEY_VARIABLE}: is not set, but with TUNEGATE_CLUSTER_API_KEYS_SECRET models ask for a key; set it "
        f"to one of those in the Secret {settings.api_keys_secret}"
    ]


def missing_kinds(cluster: Cluster, kinds: Iterable[str]) -> list[str]:
    """Return a problem for each kind of object that the cluster does not have."""
    return [too_old(kind) for kind in kinds if not cluster.knows(kind)]


def unserved_base_model(settings: ClusterSettings, base_model: str) -> list[str]:
    """Return a problem if this machine has a base model that the engines' pods will not have.

    A directory of the cache volume is taken to be the same here and there.
    """
    claim = settings.cache_claim
    if base_model.startswith("pypi:"):
        is_served, what = is_in_images(base_model), "a package that the serve image does not have"
    elif Path(base_model).expanduser().is_dir():
        is_served = bool(claim) and PurePosixPath(base_model).is_relative_to(CACHE)
        what = "a directory of this machine, which the pods don't have"
    else:
        return []
    if is_served:
        return []
    volume = f"the volume of {claim}" if claim else "a volume that TUNEGATE_CLUSTER_CACHE_CLAIM names"
    return [
        f"base_model {base_model!r}: is {what}; wanted a hub id (org/name@revision), "
        f"{' or '.join(IMAGE_PACKAGES)}, or a directory of {volume}, mounted here as there ({CACHE}/...)"
    ]


def denied_rights(cluster: Cluster) -> list[str]:
    """Return a problem for each right that a release needs in the namespace and does not have."""
    rights = RELEASE_RIGHTS + (AUTOSCALER_RIGHTS if cluster.knows("ScaledObject") else ())
    asked = [(right, verb) for right in rights for verb in right.verbs]
    with ThreadPoolExecutor(8) as pool:
        allowed = pool.map(lambda one: cluster.allows(one[1], one[0].resource, one[0].group), asked)
    denied: dict[str, list[str]] = {}
    for (right, verb), is_allowed in zip(asked, allowed, strict=True):
        if not is_allowed:
            denied.setdefault(right.resource, []).append(verb)
    return [
        f"may not {', '.join(verbs)} {resource} in {cluster.namespace}; "
        "the role tunegate-release of manifests/base has what is needed"
        for resource, verbs in denied.items()
    ]


def unreachable_services() -> list[str]:
    """Return a problem if the Services of the cluster can't be reached: load is sent to them from here."""
    try:
        with socket.create_connection(API_SERVICE, CONNECT_TIMEOUT_S):
            return []
    except OSError as error:
        return [
            f"its Services can't be reached from here ({API_SERVICE[0]}: {error}); run the release in a pod, "
            "or on a machine in the cluster's network"
        ]


def _why_not_there(reference: str) -> str:
    """Return what the registry says of an image that it does not have; empty: it has it, or doesn't tell."""
    repository, _, digest = reference.partition("@")
    path, colon, tag = repository.rpartition(":")
    has_tag = bool(colon) and "/" not in tag
    try:
        images = RegistryRepository(path if has_tag else repository)
    except InvalidInput:  # a short name, which the nodes complete
        return ""
    try:
        images.manifest(digest or (tag if has_tag else "latest"))
    except InvalidInput as error:
        return "; ".join(error.problems)
    except TunegateError:
        return ""
    return ""
