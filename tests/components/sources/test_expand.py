"""Every file that a parameter names is found, in one order; what is not read is told, and nothing twice."""

from pathlib import Path
from typing import Any

import fsspec
import pytest

from components.errors import InvalidInput
from components.sources import folders
from components.sources.expand import expanded

LIMIT = 1 << 20
FILES = (
    "data/b.jsonl",
    "data/a.csv.GZ",
    "data/more/c.parquet",
    "data/z.zip",
    "data/README.md",
    "data/LICENSE",
    "data/dataset_info.json",
    "data/rows.gz",
    "data/.hidden.jsonl",
    "data/.git/d.jsonl",
    "odd [1].jsonl",
    "split/train-0.jsonl",
    "split/test-0.jsonl",
    "one/training/x.jsonl",
    "latest/contest.jsonl",
    "texts/notes.txt",
)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with all of `FILES`."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"{}")
    (tmp_path / "empty").mkdir()
    (tmp_path / "data" / "link.jsonl").symlink_to(tmp_path / "split" / "train-0.jsonl")
    (tmp_path / "data" / "loop").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("named", "files"),
    [
        pytest.param(
            "data",
            ["data/a.csv.GZ", "data/b.jsonl", "data/link.jsonl", "data/more/c.parquet", "data/z.zip"],
            id="a folder",
        ),
        pytest.param("data/*.jsonl", ["data/b.jsonl", "data/link.jsonl"], id="a pattern"),
        pytest.param("data/b*", ["data/b.jsonl"], id="a pattern that says no ending"),
        pytest.param("texts/*.txt", ["texts/notes.txt"], id="a pattern that says another ending"),
        pytest.param("*/more/**/*.parquet", ["data/more/c.parquet"], id="folders however deep"),
        pytest.param("odd [1].jsonl", ["odd [1].jsonl"], id="a file whose name looks like a pattern"),
        pytest.param("split/train*", ["split/train-0.jsonl"], id="one part of a split"),
        pytest.param(
            "split/*.jsonl", ["split/test-0.jsonl", "split/train-0.jsonl"], id="both, as it is said"
        ),
        pytest.param("latest", ["latest/contest.jsonl"], id="a name with a purpose within another word"),
        pytest.param("one + latest/", ["one/training/x.jsonl", "latest/contest.jsonl"], id="two folders"),
        pytest.param(
            "split/train-0.jsonl + data/more/*",
            ["split/train-0.jsonl", "data/more/c.parquet"],
            id="a file, and a pattern after it",
        ),
        pytest.param("no-such.jsonl", ["no-such.jsonl"], id="one that is missed when it is opened"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_which_files_are_named(there: Path, named: str, files: list[str]):
    with expanded(named, LIMIT) as found:
        assert [source.shown for source in found.sources] == files


def test_what_is_not_read_is_told(there: Path):
    with expanded("data", LIMIT) as found:
        passed = {name.removeprefix("data/") for name in found.passed_over}
        assert passed == {
            ".git/", ".hidden.jsonl", "LICENSE", "README.md", "dataset_info.json", "loop/", "rows.gz",
        }  # fmt: skip
        assert "not read, as no files of rows: data/" in found.not_read and "and 2 more" in found.not_read
    with expanded("split/train*", LIMIT) as found:
        assert found.not_read == ""


@pytest.mark.parametrize(
    ("named", "problems"),
    [
        pytest.param("empty", ["is a folder without files; wanted .jsonl"], id="an empty folder"),
        pytest.param("texts", ["has no file of rows (notes.txt); wanted .jsonl"], id="nothing of rows"),
        pytest.param("data/*.arrow", ["matches no file"], id="a pattern that matches nothing"),
        pytest.param(
            "split",
            ["has files for training (split/train-0.jsonl) and files that are held out (split/test-0.jsonl)"],
            id="what is held out would be trained on",
        ),
        pytest.param("latest + latest/*.jsonl", ["is named more than once"], id="one file twice"),
        pytest.param("   ", ["names nothing"], id="white space"),
        pytest.param(
            "empty + ftp://h/x + data/b.jsonl + texts",
            ["empty: is a folder", "ftp://h/x: is of a kind that is not opened", "texts: has no file"],
            id="all problems at once",
        ),
    ],
)
def test_what_names_no_files_is_refused(there: Path, named: str, problems: list[str]):
    with pytest.raises(InvalidInput) as told, expanded(named, LIMIT):
        pass
    assert len(told.value.problems) == len(problems)
    assert all(words in problem for words, problem in zip(problems, told.value.problems, strict=True))


def test_a_folder_that_leads_back_into_itself_shows_each_file_once(there: Path):
    (there / "split" / "again").symlink_to(there / "split")
    with expanded("split/**/train*.jsonl", LIMIT) as files:
        assert [source.target for source in files.sources] == ["split/train-0.jsonl"]


def test_what_programs_keep_for_themselves_is_not_read(there: Path):
    kept = there / "data" / "more" / "_delta_log" / "0.json"
    kept.parent.mkdir()
    kept.write_text("{}")
    with expanded("data/more/**/*", LIMIT) as files:
        assert [source.target for source in files.sources] == ["data/more/c.parquet"]


def test_there_are_no_more_files_than_are_read(there: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folders, "MAX_FILES", 1)
    with pytest.raises(InvalidInput, match="is 5 files, at most 1 are read"), expanded("data", LIMIT):
        pass
    monkeypatch.setattr(folders, "MAX_ENTRIES", 3)
    for named in ("data", "data/*"):
        with pytest.raises(InvalidInput, match="more than 3"), expanded(named, LIMIT):
            pass


class Bucket:
    """What a store's client lists."""

    files = ("bucket/x/b.parquet", "bucket/x/a.parquet", "bucket/x/README.md")

    def glob(self, path: str, detail: bool) -> dict[str, dict[str, Any]]:
        assert path == "bucket/x/*" and detail
        return {**{name: {"type": "file"} for name in self.files}, "bucket/x/y": {"type": "directory"}}

    def find(self, path: str) -> list[str]:
        assert path == "bucket/x/"
        return [*self.files]


@pytest.mark.parametrize("named", ["x/", "x/*"])
@pytest.mark.parametrize("place", ["s3://bucket", "gs://bucket", "az://bucket@account.blob.core.windows.net"])
def test_a_store_is_listed(monkeypatch: pytest.MonkeyPatch, place: str, named: str):
    path = named if named.endswith("*") else "x/"
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url, **options: (Bucket(), f"bucket/{path}"))
    with expanded(f"{place}/{named}", LIMIT) as found:
        assert [one.target for one in found.sources] == [f"{place}/x/a.parquet", f"{place}/x/b.parquet"]
        assert found.passed_over[0].endswith("/x/README.md")


@pytest.mark.parametrize("named", ["x/", "x/*"])
def test_a_store_is_listed_up_to_a_limit(monkeypatch: pytest.MonkeyPatch, named: str):
    monkeypatch.setattr("components.sources.stores.MAX_ENTRIES", 2)
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url, **options: (Bucket(), f"bucket/{named}"))
    told = r"has [34] entries, over 2; name a folder or a pattern of fewer"
    with pytest.raises(InvalidInput, match=told), expanded(f"s3://bucket/{named}", LIMIT):
        pass


def test_a_store_that_can_not_be_listed_is_told(monkeypatch: pytest.MonkeyPatch):
    def refuse(url: str, **options: Any) -> None:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(InvalidInput, match=r"403.*AWS_ACCESS_KEY_ID"), expanded("s3://bucket/x/", LIMIT):
        pass
