"""Whole releases onto a real cluster, as the command line runs them; models and engines are stand-ins."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import kubectl, objects
from tests.components.serve.clients import ask, continuous_requests

STAND_INS = Path(__file__).parent / "stand_ins" / "stages"
TUNEGATE = str(Path(sys.executable).with_name("tunegate"))
ENDED_S = 600

pytestmark = pytest.mark.timeout(1500)


class Tunegate:
    """The command line over one state directory.

    Args:
        home: The state directory.
        model_name: What its releases are of.
        registry: Where their images go.
    """

    def __init__(self, home: Path, model_name: str, registry: str) -> None:
        self.home, self.model_name, self.registry = home, model_name, registry
        self.rows = home / "rows.jsonl"
        home.mkdir(exist_ok=True)
        self.rows.write_text(json.dumps({"prompt": "What?", "completion": "That."}))

    def start(self, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [TUNEGATE, *arguments],
            env={**os.environ, "TUNEGATE_HOME": str(self.home), "COLUMNS": "160"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def say(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run a command to its end; return its exit code and what it said."""
        process = self.start(*arguments, **environment)
        said, _ = process.communicate(timeout=ENDED_S)
        return process.returncode, said

    def start_release(self, **params: object) -> "subprocess.Popen[str]":
        usual = {
            "dataset": self.rows,
            "model_name": self.model_name,
            "serving_target": "kubernetes",
            "image_repository": f"{self.registry}/tunegate-test/{self.model_name}",
            "scenario_duration_s": 5,
            "load_users": 2,
            "load_max_tokens": 4,
            "max_failed_share_killed": 0.9,
        }
        pairs = [f"{name}={value}" for name, value in (usual | params).items()]
        sets = [part for pair in pairs for part in ("--set", pair)]
        return self.start("run", *sets, PYTHONPATH=str(STAND_INS))

    def release(self, **params: object) -> tuple[int, str]:
        process = self.start_release(**params)
        said, _ = process.communicate(timeout=ENDED_S)
        return process.returncode, said

    def deployment(self) -> str:
        """Return the name that answers at the live endpoint."""
        return self._answer()[0]

    def _answer(self) -> tuple[str, ...]:
        answer = ask(
            f"http://{self.model_name}.{os.environ['TUNEGATE_CLUSTER_NAMESPACE']}.svc", self.model_name
        )
        found = re.search(rf"({self.model_name}-\S+) pid=\d+ host=(\S+?)\"", answer)
        assert found, answer
        return found.groups()


@pytest.fixture(scope="module")
def model(
    serving: pytest.MonkeyPatch, images: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tunegate]:
    """A model whose first release has been promoted."""
    tunegate = Tunegate(tmp_path_factory.mktemp("model") / "home", "rel", images[0].partition("/")[0])
    ended, said = tunegate.release()
    assert ended == 0, said
    assert "PROMOTED" in said
    yield tunegate


def live(model: Tunegate, namespace: str) -> str:
    return f"http://{model.model_name}.{namespace}.svc"


def test_a_release_is_promoted_on_the_cluster_and_says_where_it_answers(
    model: Tunegate, namespace: str
) -> None:
    ended, said = model.say("status")

    assert ended == 0
    assert re.search(rf"rel-\S+ +champion .* ready +{live(model, namespace)}/v1", said), said
    assert "promoted" in said
    ended, said = model.say("chat", "hello")
    assert (ended, model.deployment() in said) == (0, True), said


def test_two_releases_at_once_are_promoted_and_one_rolled_back_without_a_failed_request(
    model: Tunegate, namespace: str, tmp_path: Path
) -> None:
    first, other = model.deployment(), Tunegate(tmp_path / "home", "other", model.registry)
    with continuous_requests(live(model, namespace), ("rel-",), model="rel") as asked:
        both = [model.start_release(seed=2), other.start_release()]
        said = [process.communicate(timeout=ENDED_S)[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], said
        second = model.deployment()
        assert second != first
        assert objects(namespace, first) == []
        assert other.deployment() != second

        ended, told = model.say("rollback")
        assert ended == 0, told
        assert model.deployment() == first
        asked.wait_for("rel-", 10)

    assert asked.failures == []
    assert sum(asked.answers.values()) > 100
    assert objects(namespace, second) == []


def test_a_service_gate_that_refuses_retires_the_candidate_and_leaves_the_champion(
    model: Tunegate, namespace: str
) -> None:
    champion, before = model.deployment(), objects(namespace, "rel-")
    with continuous_requests(live(model, namespace), (champion,), model="rel") as asked:
        ended, said = model.release(seed=3, slo_ttft_ms=0.01)

    assert (ended, "REFUSED" in said) == (3, True), said
    assert "goodput" in said
    assert asked.failures == [] and asked.answers[champion]
    assert model.deployment() == champion
    assert objects(namespace, "rel-") == before


def test_status_follows_a_replica_that_is_killed_by_hand(model: Tunegate, namespace: str) -> None:
    pods = "jsonpath={.items[*].metadata.name}"
    engines = "app.kubernetes.io/component=engine,tunegate.io/model=rel"
    killed = kubectl("get", "pods", "--namespace", namespace, "--selector", engines, "-o", pods).split()[0]
    watching = model.start("status", "--watch")
    assert watching.stdout is not None
    seen, deadline = "", time.monotonic() + 240

    def read_until(words: str) -> None:
        nonlocal seen
        assert watching.stdout is not None
        while not re.search(words, seen):
            assert time.monotonic() < deadline, seen
            seen += watching.stdout.readline()

    try:
        read_until(rf"{killed.removeprefix(model.deployment() + '-')} +ready")
        kubectl("delete", "pod", killed, "--namespace", namespace, "--wait=false")
        seen = ""
        read_until(" starting ")
        seen = ""
        read_until(r"(?s) ready .* ready ")
    finally:
        watching.send_signal(signal.SIGINT)
        watching.wait(timeout=30)
        watching.stdout.close()
    kubectl("wait", "--for=delete", f"pod/{killed}", "--namespace", namespace, "--timeout=100s")


def test_a_model_is_stopped_and_served_again(model: Tunegate, namespace: str) -> None:
    champion = model.deployment()

    ended, said = model.say("down", "--model", "rel")
    assert (ended, "rel is stopped" in said) == (0, True), said
    assert kubectl("get", "deployment", champion, "-n", namespace, "-o", "jsonpath={.spec.replicas}") == "0"
    ended, said = model.say("up", "--model", "rel")

    assert ended == 0, said
    assert model.deployment() == champion


REFUSED = [
    pytest.param({"TUNEGATE_CLUSTER_NAMESPACE": "nowhere"}, "there is no namespace nowhere", id="namespace"),
    pytest.param({"KUBECONFIG": "/nonexistent"}, "no cluster is named", id="no cluster"),
    pytest.param({"TUNEGATE_CLUSTER_SERVE_IMAGE": ""}, "SERVE_IMAGE: is not set", id="image not named"),
    pytest.param(
        {"TUNEGATE_CLUSTER_CONTROL_IMAGE": "{registry}/none@sha256:" + "1" * 64},
        "CONTROL_IMAGE .* no such image",
        id="image not there",
    ),
]


@pytest.mark.parametrize(("environment", "words"), REFUSED)
def test_what_can_be_known_is_refused_before_the_first_stage(
    images: tuple[str, str], tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    registry = images[0].partition("/")[0]
    tunegate = Tunegate(tmp_path / "home", "never", registry)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value.format(registry=registry))
        ended, said = tunegate.release(image_repository=f"{registry}/tunegate-test/never", dataset="absent")

    assert ended == 1, said
    assert re.search(words, said), said
    assert "dataset absent" in said  # all problems at once
    assert not (tunegate.home / "releases").exists()
