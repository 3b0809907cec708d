"""Why a pod is not ready, out of objects as the API server gives them."""

import pytest

from components.serve.kubernetes.pod import WRONG_INPUT
from components.serve.kubernetes.trouble import find_trouble, given_up, last_probe
from tests.components.serve.kubernetes.pods import (
    BACK_OFF,
    RUNNING,
    UNSCHEDULABLE,
    Found,
    container,
    event,
    pod,
)


@pytest.mark.parametrize(
    ("found", "events", "words", "patience_s"),
    [
        pytest.param(pod(conditions=[UNSCHEDULABLE]), [], "Insufficient nvidia.com/gpu", 15, id="no node"),
        pytest.param(
            pod(BACK_OFF),
            [event("Failed", 'Failed to pull image "reg/serve": reg/serve: not found')],
            "image pull: reg/serve@sha256:1: .*not found; check the reference",
            0,
            id="no such image",
        ),
        pytest.param(
            pod(BACK_OFF),
            [event("Failed", 'Failed to pull image "reg/serve": 500 Internal Server Error')],
            "500 Internal Server Error",
            60,
            id="registry that may recover",
        ),
        pytest.param(
            pod(BACK_OFF | {"image": "not-found.denied/serve:1"}),
            [
                event(
                    "Failed",
                    'Failed to pull image "not-found.denied/serve:1": i/o timeout of not-found.denied',
                )
            ],
            "i/o timeout",
            60,
            id="registry that does not answer, named like a refusal",
        ),
        pytest.param(
            pod(BACK_OFF),
            [event("Failed", 'Failed to pull image "reg/serve": dial tcp: lookup reg: no such host')],
            "no such host",
            0,
            id="registry that is not there",
        ),
        pytest.param(
            pod(
                container(waiting={"reason": "CreateContainerConfigError", "message": 'secret "k" not found'})
            ),
            [],
            'can\'t be started: secret "k" not found',
            10,
            id="no such secret",
        ),
        pytest.param(
            pod(container(1, {"reason": "OOMKilled", "exitCode": 137}, **RUNNING)),
            [],
            "out of memory: it was killed at its limit of 4Gi",
            0,
            id="out of memory",
        ),
        pytest.param(
            pod(container(0, None, terminated={"exitCode": 65})),
            [],
            "refused its input",
            0,
            id="wrong adapter",
        ),
        pytest.param(
            pod(container(1, None, terminated={"exitCode": 1})),
            [],
            r"keeps dying \(exit code 1\)",
            0,
            id="dies",
        ),
        pytest.param(
            pod(container(2, {"exitCode": 1}, waiting={"reason": "CrashLoopBackOff"})),
            [],
            "keeps dying",
            0,
            id="died before we looked",
        ),
        pytest.param(
            pod(container(1, {"exitCode": 0}, **RUNNING)),
            [
                event("Unhealthy", "Startup probe failed: connection refused"),
                event("Killing", "Container engine failed startup probe, will be restarted"),
            ],
            "failed startup probe, will be restarted: Startup probe failed: connection refused",
            0,
            id="start-up probe",
        ),
        pytest.param(
            pod(container(**RUNNING)),
            [event("Unhealthy", "Startup probe failed: /health does not answer 200") | {"count": 2}],
            "failed startup probe 2 times: Startup probe failed: /health does not",
            0,
            id="start-up probe, and a kubelet that ends it later",
        ),
        pytest.param(
            pod(container(waiting={"reason": "ContainerCreating"})),
            [event("FailedMount", "Unable to attach or mount volumes: timed out")],
            "FailedMount: Unable to attach or mount volumes",
            60,
            id="volume",
        ),
        pytest.param(
            pod(container(waiting={"reason": "ContainerCreating"})),
            [
                event("FailedMount", 'MountVolume.SetUp failed for volume "api-keys" : secret "k" not found'),
                event("FailedMount", "Unable to attach or mount volumes: timed out"),
            ],
            'secret "k" not found; check TUNEGATE_CLUSTER_API_KEYS_SECRET',
            5,
            id="no such Secret of keys",
        ),
        pytest.param(
            pod(container(waiting={"reason": "ContainerCreating"})),
            [
                event(
                    "FailedMount",
                    'MountVolume.SetUp failed for volume "registry" : references non-existent secret key: '
                    ".dockerconfigjson",
                )
            ],
            "dockerconfigjson; check TUNEGATE_CLUSTER_REGISTRY_SECRET",
            5,
            id="a Secret of another kind",
        ),
        pytest.param(
            pod(
                conditions=[
                    UNSCHEDULABLE
                    | {"message": '0/1 nodes are available: persistentvolumeclaim "models" not found.'}
                ]
            ),
            [],
            'persistentvolumeclaim "models" not found.; check TUNEGATE_CLUSTER_CACHE_CLAIM',
            5,
            id="no such claim",
        ),
        pytest.param(
            pod(BACK_OFF),
            [
                event("Failed", 'Failed to pull image "reg/serve": 401 unauthorized'),
                event("FailedToRetrieveImagePullSecret", "Unable to retrieve some image pull secrets (k)"),
            ],
            r"401 unauthorized; .*TUNEGATE_CLUSTER_IMAGE_PULL_SECRETS \(Unable .* secrets \(k\)\)",
            0,
            id="no such pull secret",
        ),
        pytest.param(
            pod(
                container(
                    waiting={"reason": "CreateContainerConfigError", "message": 'secret "hub" not found'}
                )
            ),
            [],
            """can't be started: secret "hub" not found; check TUNEGATE_CLUSTER_HUB_SECRET""",
            10,
            id="no such Secret of the hub",
        ),
        pytest.param(
            pod(container(0, None, terminated={"exitCode": 77})),
            [],
            "check the Secret that TUNEGATE_CLUSTER_REGISTRY_SECRET names",
            0,
            id="wrong credentials",
        ),
        pytest.param(
            pod(container(3, {"exitCode": 75}, waiting={"reason": "CrashLoopBackOff"})),
            [],
            "got no answer from the registry",
            60,
            id="a registry that is away",
        ),
    ],
)
def test_a_trouble_is_said(found: Found, events: list[Found], words: str, patience_s: float) -> None:
    trouble = find_trouble(found, events, 15)

    assert trouble is not None
    with pytest.raises(Exception, match=words):
        raise given_up("pet", trouble, "")
    assert trouble.patience_s == patience_s


@pytest.mark.parametrize(
    ("found", "events"),
    [
        pytest.param(pod(container(waiting={"reason": "ContainerCreating"})), [], id="starting"),
        pytest.param(pod(container(1, {"exitCode": 1}, **RUNNING)), [], id="died once"),
        pytest.param(
            pod(container(1, {"reason": "OOMKilled", "exitCode": 137}), deletionTimestamp="now"),
            [],
            id="ending",
        ),
        pytest.param(
            pod(conditions=[UNSCHEDULABLE]),
            [event("TriggeredScaleUp", "pod triggered scale-up")],
            id="a node is coming",
        ),
        pytest.param(pod(BACK_OFF, conditions=[{"type": "Ready", "status": "True"}]), [], id="ready"),
        pytest.param(
            pod(container(waiting={"reason": "ContainerCreating"})),
            [event("FailedMount", "not found", name="another")],
            id="the trouble of another",
        ),
        pytest.param(
            pod(container(**RUNNING)),
            [event("Unhealthy", "Startup probe failed: refused")],
            id="a start-up probe that may fail once more",
        ),
        pytest.param(
            pod(container(**RUNNING)),
            [event("FailedMount", "failed to sync secret cache: timed out waiting for the condition")],
            id="a volume that came late",
        ),
    ],
)
def test_what_is_starting_as_it_should_is_no_trouble(found: Found, events: list[Found]) -> None:
    assert find_trouble(found, events, 15) is None


def test_the_log_is_shown_under_the_trouble() -> None:
    trouble = find_trouble(pod(container(1, None, terminated={"exitCode": 1})), [], 15)
    assert trouble is not None

    said = str(given_up("pet", trouble, "RuntimeError: no"))

    assert said.startswith("deployment pet: pet-x (engine): keeps dying")
    assert said.endswith("The end of its log:\nRuntimeError: no")
    assert not trouble.previous


@pytest.mark.parametrize(
    ("asked_for", "shown"),
    [
        pytest.param("loading\nrefused: holds another", "loading\nrefused: holds another", id="its own"),
        pytest.param("loading", "refused: holds another", id="of its next start"),
        pytest.param("", "refused: holds another", id="none"),
    ],
)
def test_a_container_that_was_started_again_at_once_is_not_asked_why_the_one_before_ended(
    asked_for: str, shown: str
) -> None:
    ended = {"exitCode": WRONG_INPUT, "message": "refused: holds another\n"}
    trouble = find_trouble(pod(container(0, None, terminated=ended)), [], 15)
    assert trouble is not None
    assert trouble.log(asked_for) == shown


@pytest.mark.parametrize(
    ("log", "hinted"),
    [
        ("registry reg: can't be reached, tried 4 times ([Errno 111] Connection refused)", True),
        ("OSError: [Errno 101] Network is unreachable", True),
        ("ConnectTimeoutError: Connection to hub timed out. (connect timeout=10)", True),
        ("socket.gaierror: [Errno -3] Temporary failure in name resolution", True),
        ("TimeoutError: Timed out waiting for engine core processes to start", False),
        ("", False),
    ],
    ids=["refused", "unreachable", "timed out", "no name", "of the engine itself", "no log"],
)
def test_whoever_reached_nobody_is_told_what_lets_them(log: str, hinted: bool) -> None:
    trouble = find_trouble(pod(container(1, None, terminated={"exitCode": 1})), [], 15)
    assert trouble is not None

    said = str(given_up("pet", trouble, log))

    assert ("its range is missing in TUNEGATE_CLUSTER_EGRESS" in said) == hinted


def test_the_last_probe_is_the_newest() -> None:
    events = [
        event("Unhealthy", "newer", at="2026-01-01T00:00:09Z"),
        event("Unhealthy", "older"),
        event("Unhealthy", "another's", name="pet-y", at="2026-01-01T00:00:10Z"),
    ]

    assert last_probe(pod(), events) == "newer"
    assert last_probe(pod(), []) == ""
