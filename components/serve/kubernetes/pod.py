"""What the manifests and the program inside a pod have to agree on."""

ENGINE_PORT = 8000
ROUTER_PORT, METRICS_PORT = 8000, 29000
ENGINE_TMP = "/tmp/engine"
ADAPTER_VOLUME = "/adapter"
FETCHED_FOLDER, MOUNTED_FOLDER = "/adapter/files", "/adapter/data"  # /data: where the image has it
ADAPTER_VARIABLE = "TUNEGATE_ADAPTER"
SPEC_VARIABLE, DRAIN_VARIABLE = "TUNEGATE_SERVING_SPEC", "TUNEGATE_DRAIN_S"
READY_PATIENCE_S = 5  # one start-up probe waits so long for the engine

FAILED = 1
# As sysexits.h has them: EX_DATAERR and EX_NOPERM would come again, EX_TEMPFAIL may not.
WRONG_INPUT, NO_ACCESS, TRY_AGAIN = 65, 77, 75
