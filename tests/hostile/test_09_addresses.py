"""Only documented addresses are opened, none of a cloud's metadata; no secret of an address is shown."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
import pytest
from typer.testing import CliRunner

from components.dataset.validate import DatasetConfig
from components.errors import InvalidInput
from components.release.card.facts import gather_facts
from components.sources.address import parse_source
from components.sources.digests import read_contents
from components.tracking import runs
from components.tracking.page import write_page
from components.tracking.stage import open_stage
from components.web import is_metadata_host, is_private_address
from pipelines import trial
from pipelines.cli import app
from pipelines.experiment import sweep
from pipelines.kubeflow import artifacts
from pipelines.kubeflow.watch import _recorded
from pipelines.params import ReleaseParams
from pipelines.preflight import preflight
from tests.hostile.scripted_server import Answer, Asked, scripted_server

LIMIT = 1 << 30
pytestmark = pytest.mark.usefixtures("from_loopback")
SECRETS = ("passw0rd", "s3cret")
ADDRESS = "https://me:passw0rd@host.example/rows.jsonl?sig=s3cret"


def refused(name: str) -> str:
    with pytest.raises(InvalidInput) as told:
        read_contents(name, LIMIT)
    assert not any(secret in str(told.value) for secret in SECRETS)
    return str(told.value)


@pytest.fixture
def nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a client is so much as asked for."""

    def open_something(*names: Any, **options: Any) -> None:
        raise AssertionError(f"{names} was opened")

    for name in ("open", "filesystem", "get_filesystem_class"):
        monkeypatch.setattr(fsspec, name, open_something)
    monkeypatch.setattr(fsspec.core, "url_to_fs", open_something)


@pytest.mark.usefixtures("nothing_is_opened")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("simplecache::https://me:passw0rd@host.example/rows.jsonl", "chains one protocol to another"),
        ("filecache::s3://bucket/rows.jsonl", "chains one protocol to another"),
        ("zip://rows.jsonl::https://host.example/rows.zip?sig=s3cret", "chains one protocol to another"),
        ("s3://bucket/rows.jsonl::file:///etc/passwd", "chains one protocol to another"),
        ("hf://datasets/a/b::local:///etc/passwd", "chains one protocol to another"),
        ("file:///etc/passwd", "name the path itself: /etc/passwd"),
        ("file://localhost/etc/passwd", "name the path itself: /etc/passwd"),
        ("FILE:///etc/passwd", "name the path itself: /etc/passwd"),
        ("local:///etc/passwd", "name the path itself: /etc/passwd"),
        ("ftp://me:passw0rd@host.example/rows.jsonl", "ftp://"),
        ("sftp://host.example/rows.jsonl", "wanted a path, or a URL of https, http, s3, gs, az, hf or oci"),
        ("git://org:repo@main/rows.jsonl", "is of a kind that is not opened (git://)"),
        ("github://org:repo@main/rows.jsonl", "is of a kind that is not opened (github://)"),
        ("reference://rows.jsonl", "is of a kind that is not opened"),
        ("data://text/plain,rows", "is of a kind that is not opened"),
        ("memory://rows.jsonl", "is of a kind that is not opened"),
        ("python://os", "is of a kind that is not opened"),
        ("docker://host.example/rows:1", "write oci://"),
        ("oci://169.254.169.254/rows:1", "is a cloud's metadata service"),
        ("gcs://bucket/rows.jsonl", "write gs://"),
        ("s3a://bucket/rows.jsonl", "write s3://"),
        ("abfs://container/rows.jsonl", "write az://"),
        ("s3://KEY:passw0rd@bucket/rows.jsonl", "credentials come from the environment"),
        ("gs://me:passw0rd@bucket/rows.jsonl", "credentials come from the environment"),
        ("az://c@host.example\\.blob.core.windows.net/rows.jsonl", "names no place in a store"),
        ("az://c@host.example?.blob.core.windows.net/rows.jsonl", "names no place in a store"),
        ("s3:///rows.jsonl", "names no place in a store"),
        ("https://good.example\\@bad.example/rows.jsonl", "backslash"),
    ],
)
def test_what_is_not_documented_is_not_opened(name: str, words: str):
    assert words in refused(name)


@pytest.mark.parametrize(
    "name",
    [
        "data/rows.jsonl",
        "/data/my rows #1.jsonl",
        "https://host.example/rows.jsonl?versionId=1",
        "http://10.1.2.3:8000/rows.jsonl",
        "http://127.0.0.1:8000/rows.jsonl",
        "http://[::1]:8000/rows.jsonl",
        "s3://bucket/a folder/rows.jsonl",
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/name/rows.jsonl",
        "gs://bucket/rows.jsonl",
        "az://container/rows.jsonl",
        "az://container@account.blob.core.windows.net/rows.jsonl",
        "hf://datasets/org/name@main/rows.jsonl",
    ],
)
def test_what_is_documented_is_opened_as_it_was_named(name: str):
    assert parse_source(name).target == name


def test_a_path_with_two_colons_is_a_path(tmp_path: Path):
    path = tmp_path / "simplecache::rows.jsonl"
    path.write_bytes(b"rows")
    assert read_contents(str(path), LIMIT).digest


HOSTS = [
    "169.254.169.254",
    "169.254.170.2",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[fe80::1]",
    "[fd00:ec2::254]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::]",
    "100.100.100.200",
    "168.63.129.16",
    "metadata.google.internal",
    "METADATA.google.internal.",
]


@pytest.mark.usefixtures("nothing_is_opened")
@pytest.mark.parametrize("host", HOSTS)
def test_a_clouds_metadata_is_no_file(host: str):
    assert is_metadata_host(host.lower())
    assert "is a cloud's metadata service or a link-local address" in refused(
        f"http://{host}/latest/meta-data/"
    )


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "[::1]", "metadata.example", "1.1.1.1"]
)
def test_the_hosts_of_a_company_and_of_this_machine_are_asked(host: str):
    assert not is_metadata_host(host)


@pytest.fixture
def redirecting() -> Iterator[str]:
    """A server that sends on to where the query says, and otherwise answers with rows."""

    def send_on(asked: Asked) -> Answer:
        _, _, to = asked.path.partition("?to=")
        return Answer(302, {"Location": unquote(to)}, [b"rows"]) if to else Answer(200, {}, [b"rows"])

    with scripted_server(send_on) as server:
        yield server.url


@pytest.mark.parametrize("host", HOSTS)
def test_nobody_is_sent_on_to_a_clouds_metadata(redirecting: str, host: str):
    words = refused(f"{redirecting}/rows.jsonl?to=http://{host}/latest?sig=s3cret")
    assert "is a cloud's metadata service or a link-local address" in words


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://host.example/x", "local:///etc/passwd", "s3://b/k"]
)
def test_nobody_is_sent_on_to_another_kind_of_address(redirecting: str, to: str):
    assert "redirects from http to" in refused(f"{redirecting}/rows.jsonl?to={to}")


def test_a_redirect_to_a_file_is_followed(redirecting: str):
    assert read_contents(f"{redirecting}/a?to=/rows.jsonl", LIMIT).digest


def test_a_name_that_stands_for_link_local_addresses_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, redirecting: str
):
    """However often it is looked up: what is checked is the address that is connected to."""
    from aiohttp.resolver import ThreadedResolver

    async def resolve(resolver: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, Any]]:
        address = "169.254.169.254" if host == "inside.example" else "127.0.0.1"
        return [{"hostname": host, "host": address, "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr(ThreadedResolver, "resolve", resolve)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    words = "is a cloud's metadata service or a link-local address"
    assert words in refused("http://inside.example/rows.jsonl")
    assert words in refused(f"{redirecting}/rows.jsonl?to=http://inside.example/rows.jsonl")
    port = redirecting.rpartition(":")[2]
    assert read_contents(f"http://outside.example:{port}/rows.jsonl", LIMIT).digest


PRIVATE = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "[::1]",
    "[fd12:3456::1]",
    "[::ffff:10.1.2.3]",
    "[64:ff9b::a01:203]",
    "[2002:a01:203::]",
]
PRIVATE_WORDS = "is an address of this machine or of a private network"


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_address_is_no_file_unless_it_is_allowed(monkeypatch: pytest.MonkeyPatch, host: str):
    monkeypatch.delenv("TUNEGATE_PRIVATE_DATASETS")
    told = refused(f"http://{host}:9/rows.jsonl?sig=s3cret")
    assert PRIVATE_WORDS in told and "TUNEGATE_PRIVATE_DATASETS" in told


@pytest.mark.parametrize(
    ("address", "allowed", "private"),
    [
        ("fec0::1", [], True),
        ("64:ff9b:1::7f00:1", [], True),
        ("::ffff:0:7f00:1", [], True),
        ("10.1.2.3", [], True),
        ("10.1.2.3", ["10.0.0.0/8"], False),
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], False),
        ("10.1.2.3", ["192.168.0.0/16", "fd00::/8"], True),
        ("224.0.0.1", [], True),
        ("1.1.1.1", [], False),
        ("2606:4700::1111", [], False),
        ("64:ff9b::101:101", [], False),
        ("::ffff:1.1.1.1", [], False),
    ],
)
def test_which_addresses_are_private(address: str, allowed: list[str], private: bool):
    assert is_private_address(ip_address(address), [ip_network(one) for one in allowed]) == private


def test_a_range_that_is_allowed_lets_no_metadata_in(monkeypatch: pytest.MonkeyPatch, redirecting: str):
    monkeypatch.setenv("TUNEGATE_PRIVATE_DATASETS", '["0.0.0.0/0"]')
    for address in ("http://169.254.169.254/x", f"{redirecting}/rows.jsonl?to=http://169.254.169.254/x"):
        assert "is a cloud's metadata service or a link-local address" in refused(address)


def test_nobody_is_sent_on_to_a_private_address(monkeypatch: pytest.MonkeyPatch, redirecting: str):
    monkeypatch.setenv("TUNEGATE_PRIVATE_DATASETS", '["127.0.0.1/32"]')
    for host in ("10.1.2.3", "127.0.0.2", "[::1]", "2130706434"):
        assert PRIVATE_WORDS in refused(f"{redirecting}/rows.jsonl?to=http://{host}:9/rows.jsonl")


def test_a_name_that_stands_for_a_private_address_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, redirecting: str
):
    monkeypatch.delenv("TUNEGATE_PRIVATE_DATASETS")
    port = redirecting.rpartition(":")[2]
    assert PRIVATE_WORDS in refused(f"http://localhost:{port}/rows.jsonl")


def test_a_proxy_may_be_private_and_what_it_is_asked_for_may_not(
    monkeypatch: pytest.MonkeyPatch, redirecting: str
):
    monkeypatch.delenv("TUNEGATE_PRIVATE_DATASETS")
    for name in ("NO_PROXY", "no_proxy", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", redirecting)
    assert read_contents("http://outside.example/rows.jsonl", LIMIT).digest
    assert PRIVATE_WORDS in refused("http://10.1.2.3/rows.jsonl")


def test_a_release_is_refused_without_a_secret_of_its_addresses(tmp_path: Path):
    params = ReleaseParams(
        dataset="http://me:passw0rd@127.0.0.1:9/rows.jsonl?sig=s3cret",
        eval_dataset="s3://KEY:passw0rd@bucket/x?sig=s3cret",
        base_model=str(tmp_path),
    )
    with pytest.raises(InvalidInput) as told:
        preflight(params)
    assert "dataset http://127.0.0.1:9/rows.jsonl" in str(told.value)
    assert not any(secret in str(told.value) for secret in SECRETS)


def test_a_stage_records_no_secret_of_its_addresses(
    state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    config = DatasetConfig(dataset=ADDRESS, eval_dataset=ADDRESS, base_model="m")
    with pytest.raises(OSError), open_stage("dataset", config.recorded()) as stage:
        raise OSError(f"GET {ADDRESS} failed, as did postgresql://me:pass/w0rd-passw0rd@db.example/runs")
    run = stage.client.get_run(stage.run_id)
    everything = run.to_dictionary(), stage.record.model_dump_json(), capfd.readouterr()
    assert "GET https://host.example/rows.jsonl failed" in stage.record.error
    assert not any(secret in str(everything) for secret in SECRETS)


def test_a_trial_records_no_secret_of_its_addresses(state: Path):
    params = ReleaseParams(dataset=ADDRESS, eval_dataset="data/eval.jsonl")
    trial.open_trial("trial-1", "sweep-1", {"lora_r": 4}, params)
    (read,) = trial.read_sweep("sweep-1")
    assert read.params.dataset == "https://host.example/rows.jsonl"
    assert read.params.eval_dataset == "data/eval.jsonl"


def test_the_trials_of_a_sweep_can_still_be_released(state: Path, monkeypatch: pytest.MonkeyPatch):
    def run(trial_id: str, sweep_id: str, setting: Any, params: ReleaseParams, follow: object) -> None:
        trial.open_trial(trial_id, sweep_id, setting, params)

    monkeypatch.setattr("pipelines.experiment._run", run)
    monkeypatch.setattr("pipelines.experiment.preflight", lambda params: params)
    (one,) = sweep(ReleaseParams(dataset=ADDRESS), [{"lora_r": 4}])
    assert one.params.dataset == ADDRESS and one.params.lora_r == 4


SERVER = "https://me:passw0rd@mlflow.example/base?token=s3cret"


def test_no_link_holds_the_credentials_of_the_tracking_server(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with open_stage("deploy", {}) as stage:
        pass
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SERVER)
    write_page(stage, tmp_path / "page.md")
    facts = gather_facts(stage.client, "test-release", "pets", [], None, [])
    shown = CliRunner().invoke(app, ["settings"])
    page = (tmp_path / "page.md").read_text()
    assert "https://mlflow.example/base/#/experiments/" in page and facts.mlflow_serves
    assert shown.exit_code == 0, shown.output
    assert not any(secret in f"{page}{facts}{shown.output}" for secret in SECRETS)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda: trial.read_sweep("none"), id="a sweep"),
        pytest.param(lambda: artifacts.card("none"), id="a card"),
        pytest.param(lambda: runs.client().search_experiments(), id="the client"),
        pytest.param(lambda: _recorded("none"), id="a run that is watched"),
    ],
)
@pytest.mark.parametrize("answer", [200, 401, 404])
def test_no_error_holds_the_credentials_of_the_tracking_server(
    state: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    answer: int,
    ask: Callable[[], Any],
):
    body = json.dumps({"experiments": [], "runs": [], "experiment": {"experiment_id": "1"}}).encode()
    caplog.set_level(logging.DEBUG)
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with scripted_server(lambda asked: Answer(answer, {}, [body])) as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:passw0rd%2F1@{server.host}")
        try:
            told = str(ask())
        except Exception as error:
            told = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    assert not any(secret in f"{told}{caplog.text}" for secret in SECRETS)
    heard = [asked.authorization for asked in server.asked]
    assert "Basic bWU6cGFzc3cwcmQvMQ==" in heard  # me:passw0rd/1 is still told to whom it is for


def test_a_database_of_runs_is_named_without_its_password(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:pass/passw0rd@db.example:5432/runs?ssl=s3cret")
    assert runs.shown_tracking_uri() == "postgresql://db.example:5432/runs"


def test_a_setting_that_is_wrong_is_told_without_its_password(state: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_MLFLOW_URL", "ftp://me:passw0rd@mlflow.example")
    shown = CliRunner().invoke(app, ["settings"])
    assert shown.exit_code == 1 and "TUNEGATE_MLFLOW_URL: got" in shown.output
    assert "passw0rd" not in shown.output


def test_the_parameters_of_a_release_are_for_their_owner_alone(state: Path, monkeypatch: pytest.MonkeyPatch):
    from pipelines import local

    monkeypatch.setattr(local, "_run", lambda *arguments: False)
    folder = state / "releases" / "one"
    local.run_process(ReleaseParams(dataset=ADDRESS), "one", folder, None)
    assert (folder / "params.json").stat().st_mode & 0o777 == 0o600


def test_nothing_prints_an_address_as_it_was_given():
    """The names that hold one are only ever shown through a function that leaves its secrets out."""
    root = Path(__file__).parents[2]
    raw = re.compile(r"\{(?:\w+\.)*(?:eval_)?dataset(?:!r)?\}|\{(?:runs\.)?tracking_uri\(\)")
    found = [
        f"{file.name}: {line.strip()}"
        for folder in ("components", "pipelines", "notebooks")
        for file in (root / folder).rglob("*.*")
        if file.suffix in (".py", ".ipynb", ".html")
        for line in file.read_text(encoding="utf-8").splitlines()
        if raw.search(line)
    ]
    assert found == []
