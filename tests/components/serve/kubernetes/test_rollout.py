"""How far a roll-out is, and when it is given up."""

from types import SimpleNamespace

import pytest

from components.serve.kubernetes import rollout
from components.serve.kubernetes.rollout import RolloutWatch, is_rolled_out, refusal_hint, refused_pods
from tests.components.serve.kubernetes.pods import UNSCHEDULABLE, pod


def test_a_passing_trouble_is_given_time_and_forgotten_when_it_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 14.0, 20.0, 30.0, 44.0, 45.0])
    monkeypatch.setattr(rollout, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    watch, stuck, fine = RolloutWatch(15), pod(conditions=[UNSCHEDULABLE]), pod()

    seen = [watch.hopeless([found], []) for found in (stuck, stuck, fine, stuck, stuck, stuck)]

    assert [trouble is not None for trouble in seen] == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("why", "hint"),
    [
        ('serviceaccount "tunegate-router" not found', "kubectl apply -k manifests/base"),
        ("no PriorityClass with name serving was found", "TUNEGATE_CLUSTER_PRIORITY_CLASS"),
        ("exceeded quota", ""),
    ],
    ids=["account", "priority class", "quota"],
)
def test_a_refusal_of_pods_says_what_to_do_where_that_is_known(why: str, hint: str) -> None:
    said = refusal_hint(why)

    assert hint in said
    assert bool(hint) == bool(said)


def test_pods_that_are_not_allowed_are_told() -> None:
    message = 'pods "pet-x" is forbidden: exceeded quota'
    failing = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}

    assert refused_pods({"status": {"conditions": [failing]}}) == message
    assert refused_pods({"status": {"conditions": [failing | {"status": "False"}]}}) == ""
    assert refused_pods({}) == ""


@pytest.mark.parametrize(
    ("wanted", "there", "newest", "ready", "seen", "is_done"),
    [
        pytest.param(2, 2, 2, 2, 3, True, id="all"),
        pytest.param(2, 2, 2, 1, 3, False, id="one is not ready"),
        pytest.param(2, 3, 2, 2, 3, False, id="an old one is left"),
        pytest.param(2, 2, 2, 2, 2, False, id="a change that nobody has seen"),
        pytest.param(1, 1, 1, 1, 3, True, id="fewer than the spec's, by hand"),
        pytest.param(5, 5, 5, 2, 3, True, id="an autoscaler wants more"),
        pytest.param(5, 5, 5, 1, 3, False, id="an autoscaler wants more, and too few are ready"),
        pytest.param(5, 5, 4, 4, 3, False, id="an autoscaler wants more, and an old one is left"),
    ],
)
def test_a_roll_out_is_done_when_the_replicas_of_the_spec_are_ready(
    wanted: int, there: int, newest: int, ready: int, seen: int, is_done: bool
) -> None:
    deployment = {
        "metadata": {"generation": 3},
        "spec": {"replicas": wanted},
        "status": {
            "observedGeneration": seen,
            "replicas": there,
            "updatedReplicas": newest,
            "readyReplicas": ready,
        },
    }

    assert is_rolled_out(deployment, enough=2) == is_done


def test_no_deployment_is_not_rolled_out() -> None:
    assert not is_rolled_out(None)
    assert not is_rolled_out({"metadata": {"generation": 1}, "spec": {}})
