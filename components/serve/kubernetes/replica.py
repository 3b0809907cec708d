"""What an engine's pod runs, each a step of its life.

    python -m components.serve.kubernetes.replica fetch    # pull the adapter by digest and verify it
    python -m components.serve.kubernetes.replica verify   # verify the one that is mounted
    python -m components.serve.kubernetes.replica serve    # become vLLM
    python -m components.serve.kubernetes.replica ready    # wait until the adapter is listed and answers
    python -m components.serve.kubernetes.replica drain    # wait until the requests in flight are done

The `ServingSpec` comes in the environment. The exit code says whether trying again will help, see `pod`.
"""

import os
import signal
import sys
import time
from pathlib import Path

from components.engine.api_keys import DIRECTORY_VARIABLE, ApiKeys
from components.errors import AccessRefused, DigestMismatch, InvalidInput, TunegateError, Unreachable
from components.serve import probe
from components.serve.kubernetes.pod import (
    ADAPTER_VARIABLE,
    DRAIN_VARIABLE,
    ENGINE_PORT,
    ENGINE_TMP,
    FAILED,
    NO_ACCESS,
    READY_PATIENCE_S,
    SPEC_VARIABLE,
    TRY_AGAIN,
    WRONG_INPUT,
)

URL = f"http://127.0.0.1:{ENGINE_PORT}"
NOTICED_S = 3.0  # until the routers have seen that this pod is ending
POLL_S = 0.5
READY_POLL_S = 0.2


def fetch() -> None:
    """Pull the adapter into the pod's volume."""
    from components.oci.adapter_images import pull_adapter
    from components.serve.spec import ServingSpec

    spec = ServingSpec.model_validate_json(os.environ[SPEC_VARIABLE])
    pull_adapter(spec.image, spec.adapter_digest, Path(os.environ[ADAPTER_VARIABLE]))
    print(f"{spec.image}: adapter {spec.adapter_digest} verified", flush=True)


def verify() -> None:
    """Hold the adapter that the node has mounted against the spec.

    Raises:
        DigestMismatch: It is another one.
        InvalidInput: It is no adapter's.
    """
    from components.oci.adapters import adapter_digest
    from components.serve.spec import ServingSpec

    spec = ServingSpec.model_validate_json(os.environ[SPEC_VARIABLE])
    found = adapter_digest(Path(os.environ[ADAPTER_VARIABLE]))
    if found != spec.adapter_digest:
        raise DigestMismatch(f"{spec.image}: holds adapter {found}, wanted {spec.adapter_digest}")
    print(f"{spec.image}: adapter {spec.adapter_digest} verified", flush=True)


def serve() -> None:
    """Prepare the base model and become its server."""
    from components.engine.config import EngineConfig
    from components.engine.scratch import FOLDER_VARIABLE
    from components.engine.server import server_command
    from components.models import prepare_base_model
    from components.serve.spec import ServingSpec

    spec = ServingSpec.model_validate_json(os.environ[SPEC_VARIABLE])
    engine = EngineConfig(
        base_path=prepare_base_model(spec.base_model).path,
        adapter_path=Path(os.environ[ADAPTER_VARIABLE]),
        model_name=spec.model_name,
        lora_r=spec.lora_r,
        max_model_len=spec.max_model_len,
        tool_call_parser=spec.tool_call_parser,
    )
    command = server_command(engine, "0.0.0.0", ENGINE_PORT)
    os.environ[FOLDER_VARIABLE] = ENGINE_TMP  # the pod's volume stays when its container is started again
    os.execv(command[0], command)


def ready(url: str = URL, patience_s: float = READY_PATIENCE_S) -> None:
    """Wait until the server is healthy, lists the adapter and answers a completion with it.

    Raises:
        TunegateError: It does not in that time.
    """
    import json  # nothing heavier is imported for a probe: it runs beside an engine that loads

    model_name = json.loads(os.environ[SPEC_VARIABLE])["model_name"]
    keys = os.environ.get(DIRECTORY_VARIABLE)
    key = ApiKeys(Path(keys)).any_key() if keys else ""
    deadline = time.monotonic() + patience_s
    while why := _not_ready(url, model_name, key):
        if time.monotonic() > deadline:
            raise TunegateError(why)
        time.sleep(READY_POLL_S)


def _not_ready(url: str, model_name: str, key: str) -> str:
    if not probe.is_up(url):
        return "/health does not answer 200"
    if not probe.lists_adapter(url, model_name, timeout_s=5, key=key):
        return f"/v1/models does not list {model_name}"
    if not probe.completes(url, model_name, timeout_s=45, key=key):
        return f"{model_name} does not answer a completion"
    return ""


def drain(url: str = URL) -> None:
    """Wait until nothing is in flight, as long as the pod may take."""
    deadline = time.monotonic() + float(os.environ.get(DRAIN_VARIABLE, "60"))
    time.sleep(NOTICED_S)
    while probe.requests_in_flight(url) and time.monotonic() < deadline:
        time.sleep(POLL_S)


ENDINGS = {
    DigestMismatch: WRONG_INPUT,
    InvalidInput: WRONG_INPUT,
    AccessRefused: NO_ACCESS,
    Unreachable: TRY_AGAIN,
}
STEPS = {"fetch": fetch, "verify": verify, "serve": serve, "ready": ready, "drain": drain}


def main(arguments: list[str]) -> int:
    """Run one step; the last line printed says what went wrong."""
    # The first process of a container has no default for SIGTERM: it would be waited for in vain.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    step = STEPS[arguments[0]]
    try:
        step()
    except TunegateError as error:
        print(error, file=sys.stderr, flush=True)
        return next((code for kind, code in ENDINGS.items() if isinstance(error, kind)), FAILED)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
