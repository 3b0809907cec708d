"""What files hold is one short text a parameter, which says which of them is another."""

import hashlib
from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.sources.digests import MARKED_FILES, Contents, changes, joined, read_contents, read_parameters

LIMIT = 1 << 20


def sha256(content: str) -> str:
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def contents(*texts: str) -> Contents:
    return Contents(tuple(f"{n}.jsonl" for n in range(len(texts))), tuple(map(sha256, texts)))


MANY = [str(n) for n in range(MARKED_FILES + 1)]


def test_one_file_has_its_own_digest_and_several_one_that_stays_short():
    assert contents("a").digest == sha256("a")
    assert contents().digest == ""
    marked, counted = contents(*MANY[:MARKED_FILES]).digest, contents(*MANY).digest
    assert marked.count(",") == MARKED_FILES - 1 and len(marked) < 400
    assert counted.endswith(f"/{len(MANY)}")
    assert contents("a", "b").digest != contents("b", "a").digest  # it says their order, too
    assert joined([contents("a"), contents()]) == sha256("a")
    assert joined([contents("a"), contents("b")]) == f"{sha256('a')}+{sha256('b')}"


@pytest.mark.parametrize(
    ("then", "now", "told"),
    [
        pytest.param(["a"], ["a"], [], id="the same"),
        pytest.param(["a", "b"], ["a", "b"], [], id="the same two"),
        pytest.param(["a"], ["x"], ["0.jsonl: has changed since this run was started"], id="one"),
        pytest.param(
            ["a", "b", "c"],
            ["a", "x", "y"],
            ["1.jsonl: has changed since", "2.jsonl: has changed since"],
            id="two of three",
        ),
        pytest.param(
            MANY,
            [*MANY[:-1], "x"],
            [f"0.jsonl and those with it: one or more of the {len(MANY)} files have changed"],
            id="one of many",
        ),
        pytest.param(
            ["a"], ["a", "b"], ["0.jsonl and those with it: 2 files now, and 1 file when"], id="one more"
        ),
        pytest.param(MANY, ["a"], [f"0.jsonl: 1 file now, and {len(MANY)} files when"], id="fewer"),
    ],
)
def test_what_has_changed_is_named(then: list[str], now: list[str], told: list[str]):
    problems = changes([contents(*now), contents()], joined([contents(*then), contents()]))
    assert len(problems) == len(told)
    assert all(words in problem for words, problem in zip(told, problems, strict=True))
    assert all("start again with dataset_digest empty" in problem for problem in problems)


@pytest.mark.parametrize("wanted", ["x", "sha256:rows/1,2", "/", "sha256:/9999999", "//", "\x1b[2J/,"])
def test_whatever_a_digest_says_is_compared(wanted: str):
    (problem,) = changes([contents("a")], wanted)
    assert "dataset_digest" in problem


def test_two_parameters_have_two_digests():
    both = [contents("a"), contents("b")]
    assert changes(both, joined(both)) == [] == changes(both, "")
    (problem,) = changes(both, sha256("a"))
    assert "wanted one sha256:... for each of 2 parameters, joined by +" in problem


def test_the_limit_is_one_for_all_files_of_a_parameter(tmp_path: Path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(b"x" * 60)
    assert len(read_contents(str(tmp_path), 120).digests) == 2
    with pytest.raises(InvalidInput) as told:
        read_contents(str(tmp_path), 119)
    assert f"{tmp_path}/b.jsonl" in str(told.value)
    assert "is of 60 bytes or more, with the 60 of the files before it over max_dataset_bytes (119)" in str(
        told.value
    )


def test_all_problems_of_all_files_of_all_parameters_are_told(tmp_path: Path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"no gzip")
    named = {"dataset": f"{tmp_path}/a.jsonl.gz + {tmp_path}/b.jsonl", "eval_dataset": f"{tmp_path}/c.jsonl"}
    problems: list[str] = []
    assert read_parameters(named, LIMIT, problems) == {}
    assert [problem.partition(" ")[0] for problem in problems] == ["dataset", "dataset", "eval_dataset"]
    words = ("a.jsonl.gz: is no sound gzip", "b.jsonl: no such file", "c.jsonl: no such file")
    assert all(one in problem for one, problem in zip(words, problems, strict=True))
