"""The images that the tests run on the cluster, named by the environment."""

import os

import pytest

NAMES = ("TUNEGATE_TEST_CONTROL_IMAGE", "TUNEGATE_TEST_STAND_IN_IMAGE", "TUNEGATE_TEST_SERVE_IMAGE")


def cluster_images() -> tuple[str, str, str]:
    """Return the control image, the stand-in's and the real engine's; skip where there is no cluster."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    missing = [name for name in NAMES if not os.environ.get(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)}: not set, so there is nothing to run on the cluster")
    control, stand_in, serve = (os.environ[name] for name in NAMES)
    return control, stand_in, serve
