"""The stage as a whole: sets, report, record, MLflow inputs, and every refusal with all its reasons."""

import gzip
import json
from pathlib import Path
from typing import Any

import kingfisher
import numpy
import pytest

from components.conversations import read_conversations
from components.dataset.petstore import generate
from components.dataset.validate import DatasetConfig, length_quantiles, validate
from components.errors import InvalidInput
from components.oci.hashing import file_digest
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.encoded import MadeWith, open_encoded
from components.templates.examples import Examples
from components.tracking.stage import Stage

PETSTORE = Path(generate.__file__).parent


class Run:
    """One run of the stage and where it wrote."""

    def __init__(self, folder: Path, stage: Stage, model: Path) -> None:
        self.train, self.eval, self.report = folder / "out/train", folder / "out/eval", folder / "out/report"
        self.stage, self.model = stage, model

    def __call__(self, dataset: Path | str, **values: Any) -> str:
        values = {"base_model": str(self.model), "min_train_rows": 5, "min_eval_rows": 2, **values}
        config = DatasetConfig(dataset=str(dataset), **values)
        return validate(config, self.train, self.eval, self.report, self.stage)

    def refused(self, dataset: Path | str, **values: Any) -> list[str]:
        with pytest.raises(InvalidInput) as caught:
            self(dataset, **values)
        return caught.value.problems

    def artifact(self, name: str) -> str:
        return Path(self.stage.client.download_artifacts(self.stage.run_id, name)).read_text(encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path, stage: Stage, tiny_model: Path) -> Run:
    return Run(tmp_path, stage, tiny_model)


def rows_file(path: Path, count: int = 20, extra: str = "") -> Path:
    rows = [{"instruction": f"Where is shelf {n}?", "output": f"Aisle {n % 4}."} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + extra, encoding="utf-8")
    return path


def test_a_sound_dataset_leaves_sets_report_and_record(run: Run, capsys: pytest.CaptureFixture[str]):
    digest = run(PETSTORE / "train.jsonl", eval_dataset=str(PETSTORE / "eval.jsonl"))
    train, held_out = read_conversations(run.train), read_conversations(run.eval)
    record = run.stage.record
    assert digest.startswith("sha256:") and record.facts["dataset_fingerprint"] == digest
    assert record.metrics["rows_in"] == len(train) + len(held_out) == record.metrics["rows_accepted"]
    assert record.metrics["rows_quarantined"] == 0
    assert record.metrics["tokens_p50"] <= record.metrics["tokens_p95"] <= record.metrics["tokens_max"]
    (verdict,) = record.verdicts
    assert (verdict.stage, verdict.status) == ("dataset", "passed")
    assert [figure.title for figure in record.figures] == ["Tokens per row"]
    assert record.facts["suggested_metric"] == "token_f1" and record.facts["suggested_max_length"]
    assert run.artifact("dataset-report.html") == run.report.read_text(encoding="utf-8")
    assert run.artifact("quarantine.jsonl") == ""
    assert f"accepted {len(train)} rows for training" in capsys.readouterr().out


def test_the_sets_are_inputs_of_the_run(run: Run):
    digest = run(PETSTORE / "train.jsonl", eval_dataset=str(PETSTORE / "eval.jsonl"))
    inputs = run.stage.client.get_run(run.stage.run_id).inputs.dataset_inputs
    found = {entry.tags[0].value: entry.dataset for entry in inputs}
    assert found["training"].name == "train.jsonl (training)"
    assert found["eval"].name == "eval.jsonl (eval)"
    assert found["training"].digest in digest
    assert json.loads(found["eval"].profile)["num_rows"] == len(read_conversations(run.eval))


def test_several_files_are_one_set(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    lines = (PETSTORE / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "LICENSE").touch()
    (folder / "a.jsonl").write_text("".join(lines[:40]), encoding="utf-8")
    (folder / "b.jsonl").write_text("".join(lines[40:80]) + "no row\n" + lines[0], encoding="utf-8")
    (tmp_path / "c.jsonl").write_text("".join(lines[80:]), encoding="utf-8")
    whole = run(PETSTORE / "train.jsonl", eval_dataset=str(PETSTORE / "eval.jsonl"))
    parts = run(f"{folder} + {tmp_path / 'c.jsonl'}", eval_dataset=str(PETSTORE / "eval.jsonl"))
    assert parts == whole
    assert "not read, as no files of rows" in capsys.readouterr().out
    set_aside = [json.loads(line) for line in run.artifact("quarantine.jsonl").splitlines()]
    assert [(row["file"], row["line"], row["reason"]) for row in set_aside][:2] == [
        (str(folder / "b.jsonl"), 41, "is no JSON: expecting value at column 1"),
        (str(folder / "b.jsonl"), 42, "is the same as line 1 of a.jsonl"),
    ]
    inputs = run.stage.client.get_run(run.stage.run_id).inputs.dataset_inputs
    assert "data and 1 more (training)" in {entry.dataset.name for entry in inputs}


def test_the_same_dataset_gives_the_same_fingerprint_from_any_form(run: Run, tmp_path: Path):
    lines = rows_file(tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    array, packed = tmp_path / "a.json", tmp_path / "a.jsonl.gz"
    array.write_text(json.dumps(rows, indent=2))
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    assert run(lines) == run(array) == run(packed)
    assert run(lines) != run(lines, seed=3)


def test_a_share_is_held_out_when_there_is_no_eval_file(run: Run, tmp_path: Path):
    run(rows_file(tmp_path / "a.jsonl"), eval_fraction=0.25)
    train, held_out = read_conversations(run.train), read_conversations(run.eval)
    assert (len(train), len(held_out)) == (15, 5)
    assert not {row.prompt[0]["content"] for row in train} & {row.prompt[0]["content"] for row in held_out}


@pytest.mark.parametrize("eval_dataset", ["", str(PETSTORE / "eval.jsonl")], ids=["split", "eval-file"])
def test_the_training_rows_are_there_as_tokens_too(run: Run, tmp_path: Path, eval_dataset: str):
    lines = (PETSTORE / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    turns = [("user", "Hi", 1), ("assistant", "Go away", 0), ("user", "Dogs?", 1), ("assistant", "Hello", 1)]
    unwanted = {"messages": [{"role": role, "content": text, "weight": n} for role, text, n in turns]}
    long = {"instruction": "Where?", "output": "far " * 200}
    odd = [
        lines[0],
        json.dumps(unwanted) + "\n",
        json.dumps(long) + "\n",
        '{"instruction": "<|end|>", "output": "a"}\n',
    ]
    (tmp_path / "a.jsonl").write_text("".join([*lines[:20], *odd, *lines[20:]]), encoding="utf-8")
    values = {"dataset": str(tmp_path / "a.jsonl"), "eval_dataset": eval_dataset, "max_length": 400}
    config = DatasetConfig(base_model=str(run.model), min_train_rows=5, min_eval_rows=2, **values)
    tokens = tmp_path / "out/tokens"
    validate(config, run.train, run.eval, run.report, run.stage, tokens)

    tokenizer, train = ChatTokenizer(run.model), read_conversations(run.train)
    examples = Examples(open_encoded(tokens, MadeWith(tokenizer.digest, "all", file_digest(run.train))))
    assert examples.rows == len(train)
    assert [(example,) for example in examples] == tokenizer.encode(train)


def test_a_refused_dataset_still_leaves_report_record_and_quarantine(run: Run):
    problems = run.refused(PETSTORE / "flawed.jsonl", eval_dataset=str(PETSTORE / "eval.jsonl"))
    assert any("45 of 207 rows of flawed.jsonl are unusable" in problem for problem in problems)
    assert run.stage.record.verdicts[0].status == "failed"
    quarantined = [json.loads(line) for line in run.artifact("quarantine.jsonl").splitlines()]
    assert len(quarantined) == 45
    assert set(quarantined[0]) == {"file", "line", "kind", "reason", "excerpt"}
    assert [figure.title for figure in run.stage.record.figures] == ["Tokens per row", "Quarantined rows"]
    page = run.report.read_text(encoding="utf-8")
    assert "quarantined share" in page and "One prompt, different answers" in page


def test_the_report_escapes_what_the_data_says(run: Run, tmp_path: Path):
    hostile = "<script>alert(1)</script>{{ 7 * 7 }}"
    extra = json.dumps({"instruction": hostile, "output": "No."}) + f"\n{hostile}\n"
    run(rows_file(tmp_path / "a.jsonl", extra=extra))
    page = run.report.read_text(encoding="utf-8")
    assert "<script" not in page and "&lt;script&gt;" in page and "{{ 7 * 7 }}" in page
    assert 'src="http' not in page and "href=" not in page  # it needs nothing beside itself


def test_the_report_marks_what_is_learned(run: Run, tmp_path: Path):
    asked, answered = {"role": "user", "content": "Where?"}, {"role": "assistant", "content": "<b>Here.</b>"}
    again = {"role": "assistant", "content": "There."}
    extra = json.dumps({"messages": [asked, answered, asked, again]}) + "\n"
    path = rows_file(tmp_path / "a.jsonl", extra=extra)
    run(path, eval_fraction=0.1)
    page = run.report.read_text(encoding="utf-8")
    assert "<mark>&lt;b&gt;Here.&lt;/b&gt;&lt;|end|&gt;</mark>" in page and "<mark>There." in page
    assert "&lt;|user|&gt;Where?" in page and "<mark>Where?" not in page
    run(path, eval_fraction=0.1, learn_turns="last")
    page = run.report.read_text(encoding="utf-8")
    assert "<mark>&lt;b&gt;Here." not in page and "<mark>There." in page and "learn_turns: last" in page


def test_the_report_shows_the_turns_where_there_is_no_base_model_to_ask(run: Run, tmp_path: Path):
    run.refused(rows_file(tmp_path / "a.jsonl"), base_model="/no/model")
    page = run.report.read_text(encoding="utf-8")
    assert "<mark>" not in page and "The base model could not be asked" in page and "Where is shelf" in page


@pytest.mark.parametrize(
    ("content", "values", "reasons"),
    [
        pytest.param(b"", {}, ["is empty"], id="empty"),
        pytest.param(b'{"instruction": "\xff"}', {}, ["byte 17", "not UTF-8"], id="non-utf-8"),
        pytest.param(
            b"one\ntwo\n",
            {},
            [
                "train_rows failed: 0 rows",
                "eval_rows failed: 0 rows",
                "2 of 2 rows",
            ],
            id="no-valid-rows",
        ),
        pytest.param(
            None, {"min_eval_rows": 30}, ["eval_rows failed: 4 rows", "at least 30"], id="few-for-eval"
        ),
        pytest.param(None, {"min_train_rows": 30}, ["train_rows failed: 16 rows", "at least 30"], id="few"),
        pytest.param(None, {"max_length": 20}, ["truncated_share failed: 20 of 20"], id="all-too-long"),
        pytest.param(
            None, {"group_by": "customer"}, ["no accepted row has a field 'customer'"], id="no-group"
        ),
        pytest.param(None, {"eval_dataset": "no.jsonl"}, ["no.jsonl: no such file"], id="eval-missing"),
        pytest.param(None, {"base_model": "/no/model"}, ["/no/model"], id="base-model-missing"),
    ],
)
def test_refusals(
    run: Run, tmp_path: Path, content: bytes | None, values: dict[str, Any], reasons: list[str]
):
    path = rows_file(tmp_path / "a.jsonl")
    if content is not None:
        path.write_bytes(content)
    text = "\n".join(run.refused(path, **values))
    assert all(reason in text for reason in reasons), text
    # Nothing is said of rows that there are not.
    assert content is None or "inconclusive" not in text


def test_a_search_for_secrets_that_fails_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kingfisher, "get_binary_path", lambda: "/none")
    assert "looking for secrets failed" in run.refused(rows_file(tmp_path / "a.jsonl"))[0]


def test_a_broken_gzip_is_refused(run: Run, tmp_path: Path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(rows_file(tmp_path / "a.jsonl", count=500).read_bytes())[:-40])
    assert "is no sound gzip file" in run.refused(path)[0]


def test_all_that_is_missing_is_reported_at_once(run: Run):
    problems = "\n".join(run.refused("none.jsonl", eval_dataset="nor-this.jsonl", base_model="/no/model"))
    assert "none.jsonl: no such file" in problems
    assert "nor-this.jsonl: no such file" in problems
    assert "base_model '/no/model'" in problems


def test_a_missing_base_model_does_not_hide_what_is_wrong_with_the_rows(run: Run, tmp_path: Path):
    problems = "\n".join(
        run.refused(rows_file(tmp_path / "a.jsonl"), base_model="/no/model", min_eval_rows=9)
    )
    assert "base_model '/no/model'" in problems
    assert "eval_rows failed: 4 rows" in problems
    assert "tokens could be counted" in problems


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        pytest.param([], {}, id="none"),
        pytest.param([7], {"tokens_p50": 7, "tokens_p95": 7, "tokens_max": 7}, id="one"),
        pytest.param(list(range(100)), {"tokens_p50": 50, "tokens_p95": 95, "tokens_max": 99}, id="hundred"),
    ],
)
def test_length_quantiles(tokens: list[int], expected: dict[str, float]):
    assert length_quantiles(numpy.array(tokens)) == expected


def two_columns(path: Path, *names: str, count: int = 20) -> Path:
    rows = [{names[0]: f"Where is shelf {n}?", names[1]: f"Aisle {n % 4}.", "note": n} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_that_is_not_understood_is_answered_with_the_columns_to_try(run: Run, tmp_path: Path):
    path = two_columns(tmp_path / "a.jsonl", "problem", "solution")
    assert (
        "a.jsonl: its rows have the fields problem, solution, note; the nearest form is prompt with "
        "completion: try --set columns='prompt=problem, completion=solution'"
    ) in run.refused(path)
    assert run(path, columns="prompt=problem, completion=solution") == run(rows_file(tmp_path / "b.jsonl"))


def test_what_was_not_used_is_in_the_record_and_on_the_page(run: Run, tmp_path: Path):
    run(two_columns(tmp_path / "a.jsonl", "question", "answer", count=1001))
    assert run.stage.record.facts["dataset_not_used"] == "note (1,001 rows)"
    assert "Not used: note (1,001 rows)" in run.report.read_text(encoding="utf-8")


def test_columns_that_can_not_be_read_are_refused_before_any_file_is():
    with pytest.raises(ValueError, match="'question' is no meaning; wanted one of prompt"):
        DatasetConfig(dataset="none.jsonl", base_model="m", columns="question=prompt")


def preference_file(path: Path, form: str) -> Path:
    def row(number: int) -> dict[str, Any]:
        question, answer = f"Where is shelf {number}?", f"Aisle {number % 4}."
        if form == "pairs":
            return {"prompt": question, "chosen": answer, "rejected": "No idea."}
        wanted = number % 2 == 0
        return {"prompt": question, "completion": answer if wanted else "No idea.", "label": wanted}

    path.write_text("".join(json.dumps(row(n)) + "\n" for n in range(40)), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("form", "reason", "accepted"),
    [
        pytest.param("pairs", "40 of 40 rows of a.jsonl are unusable", 40, id="pairs"),
        pytest.param("labels", "20 of 40 rows of a.jsonl are unusable", 20, id="labels"),
    ],
)
def test_preference_files_are_used_only_when_asked_for(
    run: Run, tmp_path: Path, form: str, reason: str, accepted: int
):
    path = preference_file(tmp_path / "a.jsonl", form)
    assert any(reason in problem for problem in run.refused(path))
    run(path, preferences="chosen")
    rows = read_conversations(run.train) + read_conversations(run.eval)
    assert len(rows) == accepted
    assert "No idea." not in {row.completion for row in rows}


def test_a_small_bad_file_among_good_ones_is_judged_with_them(run: Run, tmp_path: Path):
    sound, bad = rows_file(tmp_path / "a.jsonl", count=60), tmp_path / "b.jsonl"
    bad.write_text("no row\n")
    run(f"{sound} + {bad}")
    (share,) = (c for c in run.stage.record.verdicts[0].checks if c.name == "malformed_share")
    assert "1 of 61 rows of a.jsonl and those with it can't be read" in share.why
    assert "1 of 1 rows of b.jsonl" in run.refused(bad)[2]
