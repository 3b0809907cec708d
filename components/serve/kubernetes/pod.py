"""What the manifests and the program inside a pod have to agree on."""

ENGINE_PORT = 8000
ROUTER_PORT, METRICS_PORT = 8000, 29000
ADAPTER_VOLUME, ADAPTER_FOLDER = "/adapter", "/adapter/files"
SPEC_VARIABLE, DRAIN_VARIABLE = "TUNEGATE_SERVING_SPEC", "TUNEGATE_DRAIN_S"

FAILED = 1
WRONG_INPUT = 65  # EX_DATAERR of sysexits.h: it would fail again
