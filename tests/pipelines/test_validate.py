"""`tunegate validate`: the dataset stage by itself, from the command line to what it leaves on disk."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from components.conversations import read_conversations
from components.dataset import validate as stage_module
from components.dataset.config import DatasetConfig
from components.dataset.petstore import generate
from components.dataset.validate import LOADED_BESIDE
from components.errors import InvalidInput, TunegateError
from components.tracking.stage import Stage, open_stage
from pipelines.cli import app
from pipelines.validate import COMPARED, FILES, REPORTS_KEPT, read_config, validate_alone
from tests.components.tracking.champions import promote

PETSTORE = Path(generate.__file__).parent
SOUND = [str(PETSTORE / "train.jsonl"), "--eval-dataset", str(PETSTORE / "eval.jsonl")]
FLAWED = [str(PETSTORE / "flawed.jsonl"), "--eval-dataset", str(PETSTORE / "eval.jsonl")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory that is not there yet, with no release going on."""
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("RELEASE_ID", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "state"


class Command:
    """The command, with the tiny model as its base model."""

    def __init__(self, model: Path) -> None:
        self.model = str(model)

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        said = CliRunner().invoke(
            app, ["validate", "--base-model", self.model, *arguments], env={"COLUMNS": "120"}
        )
        assert said.exit_code == code, said.output + repr(said.exception)
        return said

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self(*arguments, "--json", code=code).stdout)
        return found


@pytest.fixture
def tunegate(home: Path, tiny_model: Path) -> Command:  # the tiny model has brought torch, so none is spared
    return Command(tiny_model)


def rows_file(path: Path, count: int = 120, extra: str = "") -> Path:
    rows = [{"instruction": f"Where is shelf {n}?", "output": f"Aisle {n % 4}."} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + extra, encoding="utf-8")
    return path


def lines_of(path: str) -> int:
    return len(Path(path).read_text(encoding="utf-8").splitlines())


def test_a_sound_dataset_would_be_taken(tunegate: Command, home: Path):
    said = tunegate(*SOUND).output
    train, held_out = lines_of(SOUND[0]), lines_of(SOUND[2])
    assert "ACCEPTED" in said and "REFUSED" not in said
    assert f"{train + held_out} rows: {train} for training, {held_out} for evaluation, 0 quarantined" in said
    (report,) = (home / "validations").iterdir()
    assert str(report) in said and "passed" in report.read_text(encoding="utf-8")
    assert [path.name for path in home.iterdir()] == ["validations"]  # no record, no sets, nothing else


def test_a_flawed_dataset_would_not_and_is_told_why(tunegate: Command):
    said = tunegate(*FLAWED, code=3).output
    for words in (
        "REFUSED",
        "rows of flawed.jsonl can't be read or have no known form",
        f"{lines_of(FLAWED[0]) + lines_of(FLAWED[2])} rows: ",
        "is the same as line ",
        "--output DIR",
    ):
        assert words in said
    assert re.search(r"^duplicate +6  flawed\.jsonl, lines (\d+, ){5}\d+", said, flags=re.M)


def test_json_is_one_object_with_every_count(tunegate: Command):
    found = tunegate.json(*FLAWED, code=3)
    assert found["status"] == "refused"
    assert found["rows"] == sum(found["accepted"].values()) + found["quarantined"]
    assert sum(found["reasons"].values()) == found["quarantined"] > 40
    assert found["reasons"]["duplicate"] == 6
    checks = {check["name"]: check for check in found["checks"]}
    assert (checks["train_rows"]["status"], checks["quarantined_share"]["status"]) == ("passed", "failed")
    assert set(checks["train_rows"]) == {"name", "value", "limit", "bound", "unit", "status", "why", "margin"}
    assert found["fingerprint"].startswith("sha256:")
    assert found["problems"] == [] and list(found["files"]) == ["report"]
    assert Path(found["files"]["report"]).is_file()


def test_fields_that_are_not_used_are_told(tunegate: Command, tmp_path: Path):
    extra = json.dumps({"instruction": "Who?", "output": "Ann.", "category": "people"}) + "\n"
    rows = str(rows_file(tmp_path / "rows.jsonl", extra=extra))
    assert tunegate.json(rows)["not_used"] == {"category": 1}
    assert "not used: category (1 row)" in tunegate(rows).output


def test_output_is_what_the_stage_of_a_release_leaves(
    tunegate: Command, tmp_path: Path, stage: Stage, tiny_model: Path
):
    found = tunegate.json(*FLAWED, "--output", str(tmp_path / "out"), code=3)
    assert {name: Path(path).name for name, path in found["files"].items()} == FILES
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(FILES.values())

    config = DatasetConfig(dataset=FLAWED[0], eval_dataset=FLAWED[2], base_model=str(tiny_model))
    paths = [tmp_path / "release" / name for name in ("train", "eval", "report")]
    with pytest.raises(InvalidInput):
        stage_module.validate(config, *paths, stage)
    quarantine = stage.client.download_artifacts(stage.run_id, "quarantine.jsonl")
    of_release = dict(zip(("train", "eval", "report", "quarantine"), [*paths, quarantine], strict=True))
    for name, path in found["files"].items():
        assert Path(path).read_bytes() == Path(of_release[name]).read_bytes(), name
    assert found["fingerprint"] == stage.record.facts["dataset_fingerprint"]


def test_output_is_replaced_by_the_next_answer(tunegate: Command, tmp_path: Path):
    out = tmp_path / "out"
    tunegate(*FLAWED, "--output", str(out), code=3)
    tunegate(*SOUND, "--output", str(out))
    assert {path.name for path in out.iterdir()} == set(FILES.values())
    assert (out / "quarantine.jsonl").read_text() == ""
    assert len(read_conversations(out / "train.jsonl")) == lines_of(SOUND[0])


@pytest.mark.parametrize("holds", ["notes.txt", ".git"])
def test_a_folder_that_holds_something_else_is_left_alone(tunegate: Command, tmp_path: Path, holds: str):
    out = tmp_path / "out"
    (out / holds).mkdir(parents=True)
    said = tunegate(*SOUND, "--output", str(out), code=1).output
    assert f"holds '{holds}', which is no file of a validation" in said
    assert [path.name for path in out.iterdir()] == [holds]


def test_an_output_that_is_a_file_is_left_alone(tunegate: Command, tmp_path: Path):
    (tmp_path / "out").write_text("mine")
    assert "is a file; wanted a folder" in tunegate(*SOUND, "--output", str(tmp_path / "out"), code=1).output
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], ["dataset: missing"], id="no dataset"),
        pytest.param(["none.jsonl"], ["none.jsonl: no such file"], id="no such file"),
        pytest.param(["latin.jsonl"], ["is not UTF-8"], id="a file that can't be read"),
        pytest.param(
            ["rows.jsonl", "--set", "max_lenght=9"],
            ["max_lenght: no such parameter; did you mean max_length?"],
            id="unknown parameter",
        ),
        pytest.param(["rows.jsonl", "--set", "seed"], ["got 'seed', wanted NAME=VALUE"], id="no assignment"),
        pytest.param(
            ["rows.jsonl", "--set", "lora_r=8", "--set", "eval_fraction=2"],
            ["lora_r: is of a later stage", "eval_fraction: got '2'"],
            id="of another stage, and out of range",
        ),
    ],
)
def test_what_cannot_be_answered_is_an_error_and_leaves_nothing(
    tunegate: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: list[str],
):
    monkeypatch.chdir(tmp_path)
    rows_file(tmp_path / "rows.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"instruction": "caf\xe9"}')
    said = tunegate(*arguments, "--output", "out", "--json", code=1)
    assert said.stdout == ""
    assert all(word in said.stderr for word in words), said.stderr
    assert not (tmp_path / "out").exists()


def test_a_base_model_that_is_not_there_hides_nothing_of_the_rows(tunegate: Command, tmp_path: Path):
    tunegate.model = str(tmp_path / "none")
    found = tunegate.json(str(rows_file(tmp_path / "rows.jsonl", count=9)), code=3)
    assert any("is no model that is here" in problem for problem in found["problems"])
    assert found["accepted"] == {"train": 7, "eval": 2}


def test_a_preset_of_a_whole_release_gives_the_datasets_part(tmp_path: Path):
    rows_file(tmp_path / "rows.jsonl")
    preset = tmp_path / "preset.yaml"
    preset.write_text("dataset: rows.jsonl\nlora_r: 8\nmax_length: 77\nmin_eval_rows: 150\nseed: 4\n")
    config = read_config(preset, {"seed": "5"})
    assert (config.dataset, config.max_length, config.seed) == (str(tmp_path / "rows.jsonl"), 77, 5)
    assert config.min_eval_rows == 150  # what else a release with so many would need is not asked here
    preset.write_text(preset.read_text() + "learning_rat: 1\n")
    with pytest.raises(InvalidInput, match="learning_rat: no such parameter"):
        read_config(preset, {})


def test_every_parameter_of_the_dataset_can_be_set(tiny_model: Path):
    default = DatasetConfig(dataset="rows.jsonl", base_model=str(tiny_model), model_name="pets")
    given = {name: str(value) for name, value in default.model_dump(exclude=COMPARED).items()}
    assert read_config(None, given, model_name="pets") == default


def test_what_would_compare_with_nothing_is_refused():
    given = {"dataset": "rows.jsonl", "max_added_share": "0.1", "model_name": "pets"}
    with pytest.raises(InvalidInput) as refused:
        read_config(None, given)
    assert refused.value.problems == [
        "model_name: say it as --model NAME",
        "max_added_share: limits what differs from a champion's dataset; name the champion's model with "
        "--model",
    ]


def test_a_dataset_is_compared_with_that_of_a_champion_which_has_to_be_there(
    tunegate: Command, state: Path, tmp_path: Path
):
    rows = rows_file(tmp_path / "rows.jsonl")
    missing = tunegate(str(rows), "--model", "pets", code=1).output
    assert "--model pets" in missing and "knows no champion of that name" in " ".join(missing.split())

    config = DatasetConfig(dataset=str(rows), base_model=tunegate.model, model_name="pets")
    with open_stage("dataset", config.recorded()) as stage:
        found = stage_module.validate(config, *(tmp_path / name for name in ("t", "e", "r")), stage)
    promote(found)
    more = str(rows_file(tmp_path / "more.jsonl", count=150))
    limited = ["--model", "pets", "--set", "max_added_share=0.1"]
    checks = {check["name"]: check for check in tunegate.json(more, *limited, code=3)["checks"]}
    assert (checks["added_share"]["value"], checks["added_share"]["status"]) == (30 / 150, "failed")
    assert "added_share" not in {check["name"] for check in tunegate.json(more)["checks"]}


def test_words_of_the_data_do_not_steer_the_terminal(tunegate: Command, tmp_path: Path):
    extra = json.dumps({"messages": [{"role": "\x1b[31mroot[red]", "content": "\x1b]0;mine\x07"}]}) + "\n"
    said = tunegate(str(rows_file(tmp_path / "rows.jsonl", extra=extra))).output
    assert "root[red]" in said and "\x1b" not in said and "\x07" not in said


def test_old_reports_make_way_for_new_ones(tunegate: Command, home: Path, tmp_path: Path):
    folder = home / "validations"
    folder.mkdir(parents=True)
    for number in range(REPORTS_KEPT):
        (folder / f"20250101-0000{number:02}-rows.jsonl.html").touch()
    report = Path(tunegate.json(str(rows_file(tmp_path / "rows.jsonl")))["files"]["report"])
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == REPORTS_KEPT
    assert left[0] == "20250101-000001-rows.jsonl.html" and left[-1] == report.name


def test_a_disk_that_is_full_leaves_the_answer_before_it(
    tunegate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    found = tunegate.json(*SOUND, "--output", str(out))
    before = {name: Path(path).read_bytes() for name, path in found["files"].items()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stage_module, "atomic_write", full)
    config = DatasetConfig(dataset=FLAWED[0], base_model=tunegate.model)
    with pytest.raises(TunegateError, match="No space left on device; nothing new was kept there"):
        validate_alone(config, out, lambda text: None)
    assert {name: Path(path).read_bytes() for name, path in found["files"].items()} == before
    assert len(list(out.iterdir())) == len(FILES)


def test_it_loads_nothing_that_takes_long_and_is_not_needed(home: Path, tiny_model: Path, tmp_path: Path):
    rows = rows_file(tmp_path / "rows.jsonl")
    code = (
        "import sys\nfrom pipelines.cli import app\n"
        f"try:\n app(['validate', {str(rows)!r}, '--base-model', {str(tiny_model)!r}, '--json'])\n"
        "except SystemExit as end: print(end.code, file=sys.stderr)\n"
        "print(*sorted(name for name, module in sys.modules.items() if module), file=sys.stderr)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["status"] == "accepted"
    exit_code, names = ended.stderr.splitlines()[-2:]
    assert exit_code == "0" and "transformers" in names.split()
    assert not {"kfp", "mlflow", "torch", "vllm", "sklearn", "pandas", "scipy"} & set(names.split())
    assert not set(LOADED_BESIDE) & set(names.split())
    assert "mlflow.db" not in {path.name for path in home.iterdir()}
