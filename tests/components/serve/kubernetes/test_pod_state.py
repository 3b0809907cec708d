"""How far a pod is, out of objects as the API server gives them."""

import pytest

from components.serve.kubernetes.pod_state import is_ready, runs_nothing
from tests.components.serve.kubernetes.pods import RUNNING, Found, container, pod


def test_a_pod_that_is_ending_is_not_ready() -> None:
    ready = [{"type": "Ready", "status": "True"}]

    assert is_ready(pod(conditions=ready))
    assert not is_ready(pod(conditions=ready, deletionTimestamp="now"))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (pod(), True),
        (pod(container(waiting={"reason": "ContainerCreating"})), True),
        (pod(container(**RUNNING)), False),
        (pod(container(0, None, terminated={"exitCode": 1})), False),
        (pod(container(1, {"exitCode": 1}, waiting={"reason": "CrashLoopBackOff"})), False),
        (pod(container(**RUNNING), deletionTimestamp="now"), False),
        (pod(container(0, None, terminated={"exitCode": 0}), deletionTimestamp="now"), True),
        (pod(container(waiting={"reason": "ContainerCreating"}), deletionTimestamp="now"), True),
    ],
    ids=[
        "no node yet",
        "waits for a volume",
        "runs",
        "ended",
        "ran before",
        "deleted, still runs",
        "deleted, has ended",
        "deleted, forgotten by its kubelet",
    ],
)
def test_a_pod_of_which_nothing_needs_time_to_end_is_known(found: Found, expected: bool) -> None:
    assert runs_nothing(found) == expected
