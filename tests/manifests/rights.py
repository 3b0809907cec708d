"""What every account of the namespaces may do: by resource, the verbs; nothing besides, or elsewhere."""

READ_WRITE = ("get", "list", "create", "patch", "delete")
ALLOWED = {
    "tunegate-release": {
        "deployments.apps": READ_WRITE,
        "replicasets.apps": ("list",),
        "services": READ_WRITE,
        "poddisruptionbudgets.policy": READ_WRITE,
        "networkpolicies.networking.k8s.io": READ_WRITE,
        "scaledobjects.keda.sh": READ_WRITE,
        "pods": ("get", "list", "delete"),
        "pods/log": ("get", "list"),
        "events": ("get", "list"),
        "endpoints": ("get", "list"),
        "leases.coordination.k8s.io": ("get", "create", "update"),
    },
    "tunegate-router": {"pods": ("get", "list", "watch")},
    "default": {},  # engines, and MLflow and its database in theirs; none of them has its token
}
# What Kubernetes lets every account do: ask what it may do, and who it is.
EVERYBODY = {
    "selfsubjectaccessreviews.authorization.k8s.io": {"create"},
    "selfsubjectrulesreviews.authorization.k8s.io": {"create"},
    "selfsubjectreviews.authentication.k8s.io": {"create"},
}
