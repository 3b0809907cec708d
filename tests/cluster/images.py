"""The images that the tests run on the cluster: TUNEGATE_TEST_{CONTROL,STAND_IN,SERVE,...}_IMAGE name them.

A value `@FILE` stands for what the file will hold once the image has been built; `FILE.failed` says that it
could not be.
"""

import os
import time
from pathlib import Path

import pytest

BUILD_TIMEOUT_S = 1200


def cluster_images(*names: str) -> tuple[str, ...]:
    """Return images as the nodes pull them; skip where there is no cluster, or one of them is not named."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    variables = [f"TUNEGATE_TEST_{name.upper().replace('-', '_')}_IMAGE" for name in names]
    missing = [variable for variable in variables if not os.environ.get(variable)]
    if missing:
        pytest.skip(f"{' and '.join(missing)}: not set, so there is nothing to run on the cluster")
    return tuple(_built(os.environ[variable]) for variable in variables)


def _built(value: str) -> str:
    if not value.startswith("@"):
        return value
    file, deadline = Path(value[1:]), time.monotonic() + BUILD_TIMEOUT_S
    while not file.exists():
        if Path(f"{file}.failed").exists() or time.monotonic() > deadline:
            pytest.fail(f"{file.name}: the image was not built")
        time.sleep(1)
    return file.read_text(encoding="utf-8").strip()
