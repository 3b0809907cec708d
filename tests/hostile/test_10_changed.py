"""A file that changed between submit and run is refused, saying both digests and what to do."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest

from components.dataset.component import validate_dataset
from components.dataset.validate import DatasetConfig, validate
from components.errors import InvalidInput
from components.sources.content import open_source
from components.sources.digests import read_contents
from components.templates.example import Measured
from components.tracking.stage import Stage
from pipelines.kubeflow.params import KubeflowParams
from pipelines.kubeflow.submit import preflight as preflight_of_pods
from pipelines.params import ReleaseParams
from pipelines.preflight import preflight
from tests.hostile.scripted_server import Answer, Server, scripted_server

LIMIT = 1 << 30
pytestmark = pytest.mark.usefixtures("from_loopback")


def rows(first: int) -> bytes:
    lines = [
        {"instruction": f"Where is shelf {n}?", "output": f"Aisle {n}."} for n in range(first, first + 20)
    ]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@pytest.fixture
def run(tmp_path: Path, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The stage, without a base model, whose tokenizer takes long to load."""
    tokenizer = SimpleNamespace(
        measure=lambda conversations, learn: [Measured(7, ()) for _ in conversations],
        marked=lambda row, learn: [],
    )
    monkeypatch.setattr("components.dataset.validate.chat_tokenizer", lambda base_model: tokenizer)

    def run(dataset: Path | str, **values: str) -> str:
        config = DatasetConfig(
            dataset=str(dataset), base_model="any", min_train_rows=5, min_eval_rows=2, **values
        )
        return validate(config, tmp_path / "train", tmp_path / "eval", tmp_path / "report", stage)

    return run


def test_a_file_that_changed_since_the_run_was_started(
    tmp_path: Path, run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows(0))
    monkeypatch.setattr("pipelines.preflight.check_base_model", lambda name: None)
    monkeypatch.setattr("pipelines.preflight.serving_problems", lambda *names: [])
    started = preflight(ReleaseParams(dataset=str(file)))
    assert started.dataset_digest == sha256(rows(0))
    assert run(file, dataset_digest=started.dataset_digest)

    file.write_bytes(rows(100))
    with pytest.raises(InvalidInput) as refused:
        run(file, dataset_digest=started.dataset_digest)
    (problem,) = refused.value.problems
    assert f"{file}: has changed since this run was started" in problem
    assert sha256(rows(0)) in problem and sha256(rows(100)) in problem
    assert "start again with dataset_digest empty" in problem


def test_each_file_is_compared_with_its_own(tmp_path: Path, run: Callable[..., str]):
    train, held_out = tmp_path / "train.jsonl", tmp_path / "eval.jsonl.gz"
    train.write_bytes(rows(0))
    held_out.write_bytes(gzip.compress(rows(50)))
    digests = f"{sha256(rows(0))}+{sha256(rows(50))}"  # what is in it, however it is packed
    assert run(train, eval_dataset=str(held_out), dataset_digest=digests)
    held_out.write_bytes(gzip.compress(rows(70), mtime=1))
    with pytest.raises(InvalidInput) as refused:
        run(train, eval_dataset=str(held_out), dataset_digest=digests)
    (problem,) = refused.value.problems
    assert f"{held_out}: has changed" in problem
    with pytest.raises(InvalidInput, match=r"wanted one sha256:\.\.\. for each of 2 parameters"):
        run(train, eval_dataset=str(held_out), dataset_digest="sha256:rows")


def test_of_several_files_the_one_that_changed_is_named(tmp_path: Path, run: Callable[..., str]):
    for first, name in enumerate(("a.jsonl", "b.jsonl")):
        (tmp_path / name).write_bytes(rows(100 * first))
    named = f"{tmp_path}/a.jsonl + {tmp_path}/b*.jsonl"
    digest = read_contents(named, LIMIT).digest
    assert run(named, dataset_digest=digest)
    (tmp_path / "b.jsonl").write_bytes(rows(500))
    with pytest.raises(InvalidInput) as refused:
        run(named, dataset_digest=digest)
    (problem,) = refused.value.problems
    assert f"{tmp_path}/b.jsonl: has changed since this run was started" in problem
    (tmp_path / "b1.jsonl").write_bytes(rows(900))
    with pytest.raises(InvalidInput, match="3 files now, and 2 files when this run was started"):
        run(named, dataset_digest=digest)


def test_a_file_that_is_written_to_while_it_is_read(tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows(0))
    with open_source(str(file), LIMIT) as content:
        assert content.read(10)
        with file.open("ab") as more:
            more.write(rows(1))
        with pytest.raises(InvalidInput, match="has changed while it was read; nothing of it is used"):
            while content.read():
                pass


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(tmp_path: Path):
    file, new = tmp_path / "rows.jsonl", tmp_path / "new"
    file.write_bytes(rows(0))
    new.write_bytes(rows(1))
    with open_source(str(file), LIMIT) as content:
        new.replace(file)
        while content.read():
            pass
        assert content.digest == sha256(rows(0))


class Store:
    """A store's client, whose one file has another version each time that somebody looks."""

    def __init__(self, *versions: dict[str, str]) -> None:
        self.versions = list(versions)

    def open(self, path: str, mode: str) -> BytesIO:
        file = BytesIO(rows(0))
        file.details = self.versions.pop(0)  # type: ignore[attr-defined]
        return file

    def invalidate_cache(self) -> None:
        pass

    def info(self, path: str) -> dict[str, str]:
        return self.versions.pop(0)


@pytest.mark.parametrize(
    ("versions", "changed"),
    [
        pytest.param([{"etag": "1"}, {"etag": "2"}], True, id="another version"),
        pytest.param([{"etag": "1"}, {"etag": "1", "size": "9"}], False, id="the same, and more told of it"),
        pytest.param([{"generation": "7"}, {"generation": "8"}], True, id="another generation"),
    ],
)
def test_a_file_of_a_store_that_changes_while_it_is_read(
    monkeypatch: pytest.MonkeyPatch, versions: list[dict[str, str]], changed: bool
):
    store = Store(*versions)
    monkeypatch.setattr("fsspec.core.url_to_fs", lambda url, **options: (store, "b/rows.jsonl"))
    try:
        assert read_contents("gs://b/rows.jsonl", LIMIT).digest == sha256(rows(0)) and not changed
    except InvalidInput as error:
        assert changed and "has changed while it was read" in str(error)


def test_without_a_digest_whatever_the_file_holds_is_taken(tmp_path: Path, run: Callable[..., str]):
    """As in a scheduled run, which is to take what is new."""
    file = tmp_path / "rows.jsonl"
    for first in (0, 100):
        file.write_bytes(rows(first))
        assert run(file)


@pytest.fixture
def changing() -> Iterator[Server]:
    """A server that answers each request with other rows."""
    with scripted_server(lambda asked: Answer(200, {}, iter([rows(1000 * len(server.asked))]))) as server:
        yield server


def test_what_is_hashed_is_what_is_read(changing: Server, run: Callable[..., str]):
    file = f"{changing.url}/rows.jsonl"
    assert run(file, dataset_digest=sha256(rows(1000)))
    assert len(changing.asked) == 1  # no second request, whose answer may be another
    with pytest.raises(InvalidInput, match=r"has changed"):
        run(file, dataset_digest=sha256(rows(1000)))


def test_a_digest_that_was_given_is_compared_before_anything_starts(tmp_path: Path, changing: Server):
    file = tmp_path / "rows.jsonl"
    file.write_bytes(rows(0))
    old = sha256(rows(7))
    with pytest.raises(InvalidInput, match=r"has changed"):
        preflight(ReleaseParams(dataset=str(file), base_model=str(tmp_path), dataset_digest=old))
    submitted = KubeflowParams(
        dataset=f"{changing.url}/rows.jsonl", image_repository="r.example/x", dataset_digest=old
    )
    with pytest.raises(InvalidInput, match=r"has changed"):
        preflight_of_pods(submitted)
    assert preflight_of_pods(submitted, check_data=False).dataset_digest == old  # the stage compares it


def test_the_stage_is_given_the_digest():
    inputs = validate_dataset.component_spec.inputs
    assert set(DatasetConfig.model_fields) <= set(inputs)
    assert {"dataset_digest", "max_dataset_bytes"} <= set(DatasetConfig.model_fields)
