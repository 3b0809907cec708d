"""What whoever deploys has to be allowed in the namespace; the role in `manifests/base` allows just this."""

from typing import NamedTuple

OWN = ("get", "list", "create", "patch", "delete")


class Right(NamedTuple):
    """Some verbs on one resource.

    Attributes:
        group: API group; empty: the core group.
        resource: In the plural, with its subresource if it has one.
        verbs: What has to be allowed.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]


RELEASE_RIGHTS = (
    Right("apps", "deployments", OWN),
    Right("apps", "replicasets", ("list",)),  # whether a retired one could still start a pod
    Right("", "services", OWN),
    Right("policy", "poddisruptionbudgets", OWN),
    Right("networking.k8s.io", "networkpolicies", OWN),
    Right("", "pods", ("get", "list", "delete")),  # delete: the stress stage kills a replica
    Right("", "pods/log", ("get", "list")),
    Right("", "events", ("get", "list")),
    Right("", "endpoints", ("get", "list")),
    Right("coordination.k8s.io", "leases", ("get", "create", "update")),  # one a model: who moves its traffic
)

# Where the cluster has KEDA: a champion's autoscaler moves with the traffic, and is looked for before a stop.
AUTOSCALER_RIGHTS = (Right("keda.sh", "scaledobjects", OWN),)
