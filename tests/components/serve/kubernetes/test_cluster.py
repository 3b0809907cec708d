"""What the API server says, in words a user can act on; and how long it is waited for."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes import cluster as module
from components.serve.kubernetes.cluster import Cluster, Conflict, Rejected


def refusal(status: int, message: str = "no", **details: Any) -> Exception:
    from kubernetes.dynamic.exceptions import DynamicApiError

    body = json.dumps({"message": message, "details": details})
    return DynamicApiError(
        SimpleNamespace(status=status, reason="Refused", body=body, headers={}), tb="no traceback"
    )


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """One whose waiting takes no time."""
    clock = iter(range(100_000))
    stopped = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda seconds: None)
    monkeypatch.setattr(module, "time", stopped)
    return Cluster("pets")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (refusal(403, "may not"), TunegateError, r"can't try: it is not allowed \(may not\); .*manifests/"),
        (
            refusal(403, 'admission webhook "x" denied the request: scaled already'),
            TunegateError,
            'can.t try: admission webhook "x" denied the request: scaled already$',
        ),
        (refusal(401, "who"), TunegateError, "does not know who you are"),
        (refusal(422, "replicas: Invalid value"), Rejected, "can't try: replicas: Invalid value"),
        (refusal(500, ".spec.x: field not declared in schema"), Rejected, "x: field not declared in schema"),
        (
            refusal(
                409,
                causes=[
                    {
                        "reason": "FieldManagerConflict",
                        "field": ".spec.replicas",
                        "message": 'conflict with "keda"',
                    }
                ],
            ),
            Conflict,
            r'which is left alone: \.spec\.replicas: conflict with "keda"',
        ),
    ],
    ids=["no rights", "refused by a webhook", "not signed in", "invalid", "unknown field", "conflict"],
)
def test_a_refusal_is_put_into_words(
    cluster: Cluster, error: Exception, kind: type[Exception], words: str
) -> None:
    asked: list[int] = []

    def send() -> None:
        asked.append(1)
        raise error

    with pytest.raises(kind, match=words):
        cluster._call("try", send)

    assert len(asked) == 1


@pytest.mark.parametrize("away", [refusal(503), refusal(429), ConnectionRefusedError("refused")], ids=str)
def test_an_api_server_that_has_answered_is_waited_for(cluster: Cluster, away: Exception) -> None:
    answers = iter([None, *[away] * 30, "back"])

    def send() -> object:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    cluster._call("try", send)

    assert cluster._call("try", send) == "back"


def test_one_that_has_not_is_given_up_soon(cluster: Cluster) -> None:
    asked: list[int] = []

    def send() -> None:
        asked.append(1)
        raise ConnectionRefusedError("refused")

    with pytest.raises(TunegateError, match=r"the API server does not answer .refused.; check KUBECONFIG"):
        cluster._call("try", send)

    assert len(asked) <= module.FIRST_PATIENCE_S + 1


def test_no_cluster_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")

    with pytest.raises(InvalidInput, match=r"no cluster is named .*set KUBECONFIG"):
        Cluster("pets").get("Pod", "x")


def test_a_cluster_that_is_too_old_is_told_what_it_lacks() -> None:
    from kubernetes.dynamic.exceptions import ResourceNotFoundError

    class Resources:
        def get(self, api_version: str, kind: str) -> None:
            raise ResourceNotFoundError(f"no {kind}")

    cluster = Cluster("pets")
    vars(cluster)["_client"] = SimpleNamespace(resources=Resources())

    with pytest.raises(
        InvalidInput, match=r"the cluster(?s:.*)has no policy/v1 PodDisruptionBudget: .*too old"
    ):
        cluster.get("PodDisruptionBudget", "pet")
