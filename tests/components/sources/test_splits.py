"""A split of a hub's dataset is the files that its description or their names say, of one commit."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from components.errors import InvalidInput
from components.sources.address import parse_source
from components.sources.digests import read_contents
from components.sources.expand import expanded
from components.sources.splits import Split, split_of
from tests.hostile.hub import COMMIT, dataset_hub
from tests.hostile.odd_server import Asked

LIMIT = 1 << 20
CARD = b"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/part-*.jsonl
  - split: test
    path: held/out.csv
- config_name: small
  data_files: small/*.jsonl
---
# Rows
"""
FILES = {
    "README.md": CARD,
    "data/part-0.jsonl": b"0",
    "data/part-1.jsonl": b"1",
    "held/out.csv": b"2",
    "small/a.jsonl": b"3",
}
BY_NAME = {"train.jsonl": b"0", "test.jsonl": b"1", ".gitattributes": b""}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A hub whose files are what the test puts there."""
    files: dict[str, bytes] = {}
    client, asked = fsspec.get_filesystem_class("hf"), list[Asked]()
    client.clear_instance_cache()
    with dataset_hub(files, asked) as url:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
        template = f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("datasets.config.HF_ENDPOINT", url)
        yield files
    client.clear_instance_cache()


@pytest.mark.parametrize(
    ("files", "source", "wanted"),
    [
        pytest.param(FILES, "?split=train", ["data/part-0.jsonl", "data/part-1.jsonl"], id="as it says"),
        pytest.param(FILES, "?split=test", ["held/out.csv"], id="another of its splits"),
        pytest.param(FILES, "@main?split=test", ["held/out.csv"], id="of a revision"),
        pytest.param(FILES, "?config=small&split=train", ["small/a.jsonl"], id="of a config"),
        pytest.param(FILES, "?config=small", ["small/a.jsonl"], id="the only split of it"),
        pytest.param(BY_NAME, "?split=train", ["train.jsonl"], id="by the names of the files"),
        pytest.param(BY_NAME, "?split=test", ["test.jsonl"], id="by the names of the files, held out"),
    ],
)
def test_the_files_of_a_split(hub: dict[str, bytes], files: dict[str, bytes], source: str, wanted: list[str]):
    hub.update(files)
    with expanded(f"hf://org/rows{source}", LIMIT) as found:
        shown = [one.shown for one in found.sources]
    assert shown == [f"hf://datasets/org/rows@{COMMIT}/{name}" for name in wanted]
    assert len(read_contents(f"hf://org/rows{source}", LIMIT).digests) == len(wanted)


@pytest.mark.parametrize(
    ("files", "source", "words"),
    [
        (FILES, "?split=dev", "has no split 'dev'; there are: test, train"),
        (FILES, "", "has several splits and ?split=... names none; there are: test, train"),
        (FILES, "?config=big&split=train", "has no config 'big'; there are: default, small"),
        (BY_NAME, "?config=big&split=train", "has no config 'big', as it describes none"),
        (
            FILES,
            "?split=train&split=test",
            "asks for split, wanted each of split and config once: hf://ORG/NAME",
        ),
        (FILES, "?token=s3cret", "asks for token, wanted each of split and config once"),
        ({"README.md": CARD}, "?split=test", "describes held/out.csv, but has no such file"),
        ({"README.md": CARD}, "?split=train", "has no file of rows in that split (no file)"),
        (
            {"README.md": b"---\nconfigs:\n- config_name: default\n  data_files: /etc/passwd\n---\n"},
            "?split=train",
            "names files elsewhere (/etc/passwd); refused",
        ),
        (
            {"README.md": b"---\nconfigs:\n- config_name: a\n  data_files: https://h.example/x\n---\n"},
            "",
            "names files elsewhere (https://h.example/x); refused",
        ),
        ({"README.md": b"---\nconfigs: 7\n---\n"}, "", "does not describe it properly"),
        (
            {"README.md": b"---\na: &a [x, x]\nconfigs: [*a, *a]\n---\n"},
            "",
            "with YAML aliases, which are not read",
        ),
        ({"README.md": b"# nothing"}, "?split=train", "has no file"),
        ({"train.png": b"x"}, "?split=train", "has no file of rows in that split (train.png)"),
    ],
)
def test_what_is_no_split_is_told(hub: dict[str, bytes], files: dict[str, bytes], source: str, words: str):
    hub.update(files)
    with pytest.raises(InvalidInput) as told, expanded(f"hf://org/rows{source}", LIMIT):
        pass
    assert words in str(told.value) and "s3cret" not in str(told.value)
    assert "hf://org/rows" in str(told.value)


def test_a_dataset_that_there_is_not(hub: dict[str, bytes]):
    with (
        pytest.raises(InvalidInput, match=r"answers 404.*HF_TOKEN"),
        expanded("hf://org/none?split=a", LIMIT),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("hf://org/name?split=train", Split("org/name", split="train")),
        ("hf://datasets/org/name@v1?config=c&split=s", Split("org/name", "v1", "c", "s")),
        ("hf://org/name", Split("org/name")),
        ("hf://datasets/org/name/rows.jsonl", None),
        ("hf://datasets/squad/rows.jsonl", None),
        ("hf://datasets/org/name@v1/data/*.parquet", None),
    ],
)
def test_which_addresses_are_of_a_split(name: str, split: Split | None):
    assert split_of(parse_source(name)) == split
