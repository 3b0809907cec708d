"""The pet-store set: shipped as generated, answers from the catalogue, flaws found where they are."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from components.checks import Verdict
from components.dataset.beside import Beside
from components.dataset.config import DatasetConfig
from components.dataset.files.load import RowFile
from components.dataset.intake import Intake
from components.dataset.judge import judge
from components.dataset.lengths import row_lengths
from components.dataset.overview import look_over
from components.dataset.petstore import generate
from components.dataset.row_store import folded
from components.dataset.screen import Screen, Screened
from components.templates.chat_tokenizer import ChatTokenizer

FOLDER = Path(generate.__file__).parent
# These need another format than JSON lines, or a template that refuses something.
NOT_IN_JSON_LINES = {"not_csv", "control_token", "template_refused"}


def shipped(name: str) -> Any:
    text = (FOLDER / name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def screen_file(tiny_model: Path):
    lengths = row_lengths(ChatTokenizer(tiny_model))

    def screen(name: str) -> tuple[Screened, Verdict]:
        train, held_out = str(FOLDER / name), str(FOLDER / "eval.jsonl")
        screened = Screen(Intake(512, lambda: lengths, seed=17)).with_eval_file(
            (train, RowFile(train, 1 << 30)), (held_out, RowFile(held_out, 1 << 30))
        )
        config = DatasetConfig(dataset=train, eval_dataset=held_out, base_model="m")
        with Beside() as beside:
            return screened, judge(config, screened, look_over(screened, beside).answers)

    return screen


def test_the_shipped_files_are_what_the_generator_writes():
    for name, content in generate.generate().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == content, f"{name}: run the generator again"


def test_it_has_600_questions_and_none_is_both_taught_and_held_out():
    train, held_out = (
        {folded(row["instruction"]) for row in shipped(f"{s}.jsonl")} for s in ("train", "eval")
    )
    assert len(train) + len(held_out) >= 600 and len(held_out) >= 100
    assert not train & held_out


def test_every_held_out_answer_is_taught():
    taught = Counter(row["output"] for row in shipped("train.jsonl"))
    assert {row["output"] for row in shipped("eval.jsonl")} <= set(taught)


def test_answers_about_products_follow_from_the_catalogue():
    products = sorted(shipped("catalogue.json")["products"], key=lambda p: -len(p["asked_for_as"]))
    checked = Counter()
    for row in (*shipped("train.jsonl"), *shipped("eval.jsonl")):
        question, answer = row["instruction"], row["output"]
        product = next((p for p in products if p["asked_for_as"] in question), None)
        if product is None or answer.startswith("Ask the"):
            continue
        expected = {
            f"In the {product['aisle']}.",
            f"Yes, in the {product['aisle']}.",
            f"${product['price_dollars']}.",
            "Yes, in stock." if product["stock"] else "No, sold out.",
        }
        assert answer in expected, row
        checked[product["name"]] += 1
    assert len(checked) == len(products) == 48 and min(checked.values()) >= 5


def test_the_clean_set_is_accepted_whole(screen_file: Any):
    screened, verdict = screen_file("train.jsonl")
    assert len(screened.quarantined) == screened.contradictions.rows == 0
    assert verdict.passed


def test_the_flawed_set_is_quarantined_line_by_line(screen_file: Any):
    screened, verdict = screen_file("flawed.jsonl")
    expected = shipped("flaws.json")
    assert {str(row.line): row.kind for row in screened.quarantined} == expected["quarantined"]
    lines = sorted(row.line for group in screened.contradictions.first for row in group)
    assert lines == expected["contradicting"]
    assert verdict.status == "failed"
    assert any("quarantined_share failed: 45 of 207 rows of flawed.jsonl" in why for why in verdict.reasons)


def test_the_flawed_set_has_every_flaw_that_json_lines_can_have():
    from components.dataset.rows import KINDS

    assert set(shipped("flaws.json")["quarantined"].values()) == set(KINDS) - NOT_IN_JSON_LINES
