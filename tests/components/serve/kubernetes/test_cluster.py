"""What the API server says, in words a user can act on; and how long it is waited for."""

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.dynamic.exceptions import NotFoundError
from urllib3.exceptions import MaxRetryError, ProtocolError

from components.errors import InvalidInput, TunegateError
from components.serve.kubernetes import cluster as module
from components.serve.kubernetes import connection
from components.serve.kubernetes.cluster import Cluster, Conflict, Outdated, Rejected
from tests.components.serve.kubernetes.kubeconfigs import write_kubeconfig

POD = {"kind": "Pod", "metadata": {"name": "pet", "namespace": "pets"}}
ANSWERS: dict[str, Any] = {
    "/version": {"gitVersion": "v1.30.0"},
    "/apis": {"kind": "APIGroupList", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "resources": [{"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["get"]}],
    },
    "/api/v1/namespaces/pets/pods/pet": POD,
}


def refusal(status: int, message: str = "no", **details: Any) -> Exception:
    from kubernetes.dynamic.exceptions import DynamicApiError

    body = json.dumps({"message": message, "details": details})
    return DynamicApiError(
        SimpleNamespace(status=status, reason="Refused", body=body, headers={}), tb="no traceback"
    )


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """One whose waiting takes no time; a person waits for it."""
    monkeypatch.delenv("RELEASE_ID", raising=False)
    clock = iter(range(100_000))
    stopped = SimpleNamespace(monotonic=lambda: float(next(clock)), sleep=lambda seconds: None)
    monkeypatch.setattr(module, "time", stopped)
    return Cluster("pets")


class Answer(BaseHTTPRequestHandler):
    """What a very small API server says."""

    def do_GET(self) -> None:
        found = ANSWERS.get(self.path)
        body = json.dumps(found or {"message": f"no {self.path}"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class LateServer:
    """An API server that does not listen until so many seconds have been waited for it; that takes no time.

    Attributes:
        waited_s: How long it was waited for.
    """

    def __init__(self, away_s: float) -> None:
        self._away_s = away_s
        self._server: ThreadingHTTPServer | None = None
        self.waited_s = 0.0
        with socket.create_server(("127.0.0.1", 0)) as unused:
            self.port = unused.getsockname()[1]

    def monotonic(self) -> float:
        return self.waited_s

    def sleep(self, seconds: float) -> None:
        self.waited_s += seconds
        if self.waited_s >= self._away_s and self._server is None:
            self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
            threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


@pytest.fixture
def late_server(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LateServer]:
    """One that is away for half a minute."""
    server = LateServer(away_s=30)
    write_kubeconfig(kubeconfig, f"http://127.0.0.1:{server.port}")
    monkeypatch.setattr(module, "time", server)
    yield server
    server.close()


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


def test_a_stage_waits_for_one_that_is_away_when_it_begins(
    late_server: LateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELEASE_ID", "r1")

    assert Cluster("pets").get("Pod", "pet") == POD
    assert late_server.waited_s == 30


@pytest.mark.parametrize(
    "away",
    [refusal(404), refusal(500), MaxRetryError(None, "/log"), ProtocolError("cut off")],  # type: ignore[arg-type]
    ids=["no log", "no kubelet", "no API server", "cut off"],
)
def test_a_log_that_can_not_be_had_hides_nothing(cluster: Cluster, away: Exception) -> None:
    def request(*_: object, **__: object) -> None:
        raise away

    vars(cluster)["_client"] = SimpleNamespace(request=request)

    assert cluster.log_end("pet-x", "engine", previous=False) == ""


@pytest.mark.timeout(60)  # without a time-out of the client's own it would wait for ever
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_an_address_that_swallows_everything_is_given_up(
    kubeconfig: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.delenv("RELEASE_ID", raising=False)
    monkeypatch.setattr(module, "FIRST_PATIENCE_S", 0.1)
    for name in ("CONNECT_TIMEOUT_S", "REQUEST_TIMEOUT_S"):
        monkeypatch.setattr(connection, name, 0.1)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        write_kubeconfig(kubeconfig, f"{scheme}://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(TunegateError, match=r"the API server does not answer .*check KUBECONFIG and the"):
            Cluster("pets").require()


def test_a_namespace_that_is_not_there_is_made_with_what_serving_needs_in_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_read", lambda *_: None)

    with pytest.raises(
        InvalidInput,
        match=r"no namespace pets; kubectl apply -k manifests/base makes it with its accounts, if .*: pets$",
    ):
        cluster.require()


@pytest.mark.parametrize(
    ("kind", "path"), [("Service", "/api/v1"), ("PodDisruptionBudget", "/apis/policy/v1")], ids=str
)
@pytest.mark.parametrize("kinds", [["Service", "PodDisruptionBudget"], ["Other"], None], ids=str)
def test_a_kind_is_looked_for_where_it_would_be(
    cluster: Cluster, kind: str, path: str, kinds: list[str] | None
) -> None:
    def request(method: str, asked: str) -> object:
        if kinds is None or asked != path:
            raise NotFoundError(refusal(404))
        return SimpleNamespace(to_dict=lambda: {"resources": [{"kind": name} for name in kinds]})

    vars(cluster)["_client"] = SimpleNamespace(request=request)

    assert cluster.knows(kind) == (kind in (kinds or []))


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


@pytest.mark.parametrize(
    ("verb", "status", "kind"),
    [
        ("create", 409, Outdated),
        ("replace", 409, Outdated),
        ("replace", 404, Outdated),
        ("create", 404, TunegateError),  # of the namespace
        ("replace", 403, TunegateError),
    ],
)
def test_a_write_that_comes_too_late_is_told_from_one_that_is_refused(
    cluster: Cluster, verb: str, status: int, kind: type[Exception]
) -> None:
    from kubernetes.dynamic.exceptions import api_exception

    def write(body: object, namespace: str) -> None:
        raise api_exception(refusal(status))

    resource = SimpleNamespace(create=write, replace=write)
    vars(cluster)["_client"] = SimpleNamespace(resources=SimpleNamespace(get=lambda **_: resource))

    with pytest.raises(TunegateError, match=f"can't {verb} Lease tunegate-pet") as refused:
        getattr(cluster, verb)({"kind": "Lease", "metadata": {"name": "tunegate-pet"}})

    assert type(refused.value) is kind
