import glob
import os
from pathlib import Path

import pytest

from components.sources.names import absolute, join_names, split_names


@pytest.mark.parametrize(
    ("named", "names"),
    [
        pytest.param("a.jsonl", ["a.jsonl"], id="one"),
        pytest.param("a.jsonl + b.jsonl", ["a.jsonl", "b.jsonl"], id="two"),
        pytest.param(" a.jsonl  +\n s3://b/c d.csv ", ["a.jsonl", "s3://b/c d.csv"], id="on two lines"),
        pytest.param("https://h/a+b?x=1+2", ["https://h/a+b?x=1+2"], id="a URL with a plus"),
        pytest.param("a, b.jsonl", ["a, b.jsonl"], id="a comma parts nothing"),
        pytest.param("q + a.jsonl", ["q + a.jsonl"], id="a file of that name"),
        pytest.param("x" * 5000 + " + \0", ["x" * 5000, "\0"], id="names that no file has"),
        pytest.param("  ", [], id="nothing"),
    ],
)
def test_a_text_names_one_or_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str, names: list[str]
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "q + a.jsonl").touch()
    assert split_names(named) == names


def test_relative_paths_begin_where_they_are_told_to(tmp_path: Path):
    there = os.path.realpath(tmp_path)
    named = "a.jsonl + s3://b/c + data/*.csv + /d.jsonl + oci:images@sha256:0"
    wanted = f"{there}/a.jsonl + s3://b/c + {there}/data/*.csv + /d.jsonl + oci:{there}/images@sha256:0"
    assert absolute(named, tmp_path) == wanted
    assert absolute("", tmp_path) == ""
    for no_path in ("\0", "~nobody-of-that-name/a", "a + \0", "oci:\0"):
        assert absolute(no_path, tmp_path).endswith(no_path.rpartition(" + ")[2])


def test_the_folder_of_a_pattern_is_no_pattern_and_links_keep_their_names(tmp_path: Path):
    folder, other = tmp_path / "[x]", tmp_path / "x"
    for place in (folder, other):
        place.mkdir()
        (place / "rows.jsonl").write_text(str(place))
    assert glob.glob(absolute("*.jsonl", folder)) == [str(folder / "rows.jsonl")]  # noqa: PTH207
    (folder / "rows.csv").symlink_to(other / "rows.jsonl")
    assert absolute("rows.csv", folder) == str(folder / "rows.csv")


def test_a_list_is_joined_unless_that_would_part_a_name():
    assert split_names(join_names(["a.jsonl", "s3://b/c"])) == ["a.jsonl", "s3://b/c"]
    with pytest.raises(ValueError, match=r"'a \+ b' has a \+ between spaces in its name.*rename it"):
        join_names(["a + b", "c"])
