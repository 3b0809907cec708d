"""What each account of `manifests/base` may do: by resource, the verbs."""

READ_WRITE = ("get", "list", "create", "patch", "delete")
ALLOWED = {
    "tunegate-release": {
        "deployments.apps": READ_WRITE,
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
}
