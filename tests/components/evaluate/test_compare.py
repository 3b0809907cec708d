import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from components.conversations import Conversation, Prompt, read_conversations, write_conversations
from components.engine.config import EngineConfig
from components.errors import InvalidInput
from components.evaluate import compare as compare_module
from components.evaluate.compare import GUARD_SET, EvaluateConfig, compare, pick_rows, references, score_rows
from components.evaluate.metrics import METRICS
from components.evaluate.record import example_answers
from components.evaluate.scores import ScoredExample, Scores
from components.oci.adapter_images import push_adapter
from components.oci.adapters import adapter_digest
from components.tracking.model_registry import register
from components.tracking.stage import Stage
from tests.components.templates.families import CHATML_TOOLS, with_template


def row(question: str, answer: str) -> Conversation:
    return Conversation.model_validate(
        {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}
    )


ROWS = [row(f"What costs item {n}?", f"It costs {n} dollars") for n in range(12)]


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    folder = tmp_path / "adapter"
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 4, "rank_pattern": {"q_proj": 8}}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def eval_set(tmp_path: Path) -> Path:
    write_conversations(tmp_path / "eval.jsonl", ROWS)
    return tmp_path / "eval.jsonl"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[EngineConfig]:
    """Stand in for vLLM: the tuned model is right on every held-out row, the base on the guard set."""
    known = {r.request.model_dump_json(): r.completion for r in (*ROWS, *read_conversations(GUARD_SET))}
    started: list[EngineConfig] = []

    def answer(config: EngineConfig, prompts: Sequence[Prompt], max_new_tokens: int) -> dict[str, list[str]]:
        started.append(config)
        held_out = len(prompts) - len(read_conversations(GUARD_SET))
        right = [known[prompt.model_dump_json()] for prompt in prompts]
        third = {"champion": ["It costs nothing"] * len(prompts)} if config.champion_path else {}
        return third | {
            "base": ["I do not know"] * held_out + [f"It is {answer}." for answer in right[held_out:]],
            "tuned": right[:held_out] + ["1 dollars"] * (len(prompts) - held_out),
        }

    monkeypatch.setattr(compare_module, "answer", answer)
    return started


def config(tiny_model: Path, **changed: object) -> EvaluateConfig:
    usual = {"base_model": str(tiny_model), "max_eval_rows": 100, "max_new_tokens": 8, "max_model_len": 200}
    return EvaluateConfig.model_validate(usual | {"seed": 1} | changed)


def test_both_models_are_scored_and_everything_is_kept(
    stage: Stage, tiny_model: Path, adapter: Path, eval_set: Path, engine: list[EngineConfig], tmp_path: Path
):
    compared = compare(config(tiny_model), adapter, eval_set, tmp_path / "out" / "scores.json", stage)
    digest = adapter_digest(adapter)
    assert [(started.lora_r, started.base_path) for started in engine] == [(8, tiny_model)]
    scores = Scores.read(tmp_path / "out" / "scores.json")
    assert scores == compared
    assert (scores.adapter_digest, len(scores.examples), len(scores.guard)) == (digest, 12, 40)
    first = scores.examples[0]
    assert (first.prompt[0].content, first.reference) == ("What costs item 0?", "It costs 0 dollars")
    assert (first.base_answer, first.tuned_answer) == ("I do not know", "It costs 0 dollars")
    assert (first.base, first.tuned) == (
        {"contains": 0.0, "exact_match": 0.0, "token_f1": 0.0},
        {"contains": 1.0, "exact_match": 1.0, "token_f1": 1.0},
    )
    assert stage.record.metrics == {
        "eval_rows": 12,
        "base_contains": 0,
        "tuned_contains": 1,
        "gain_contains": 1,
        "base_exact_match": 0,
        "tuned_exact_match": 1,
        "gain_exact_match": 1,
        "base_token_f1": 0,
        "tuned_token_f1": 1,
        "gain_token_f1": 1,
        "guard_base": 1,
        "guard_tuned": 0,
    }
    kept = {item.path for item in stage.client.list_artifacts(stage.run_id)}
    assert {"scores.json", "examples.json", "figures"} <= kept
    shown = json.loads(Path(stage.client.download_artifacts(stage.run_id, "examples.json")).read_text())
    assert len(shown) == 6
    assert set(shown[0]) == {"prompt", "reference", "base", "tuned", "gain"}
    assert len(stage.record.figures) == 2


def test_the_champion_answers_the_same_prompts(
    stage: Stage,
    tiny_model: Path,
    adapter: Path,
    eval_set: Path,
    engine: list[EngineConfig],
    tmp_path: Path,
):
    pushed = push_adapter(adapter, "", {}, "pets")
    version = register(
        stage.client,
        model_name="pets",
        image=pushed.reference,
        adapter_digest=adapter_digest(adapter),
        base_model="tiny",
        run_id=stage.run_id,
    )
    asked = config(tiny_model, model_name="pets", champion_version=version)
    compare(asked, adapter, eval_set, tmp_path / "scores.json", stage)
    assert [start.champion_path is not None for start in engine] == [True]
    scores = Scores.read(tmp_path / "scores.json")
    assert scores.champion_version == version
    assert scores.examples[0].champion == {
        "contains": 0.0,
        "exact_match": 0.0,
        "token_f1": pytest.approx(4 / 7),
    }
    assert scores.gains_over_champion("exact_match") == [1.0] * 12
    assert stage.record.metrics["champion_exact_match"] == 0


def test_rows_are_picked_by_seed_and_keep_their_order():
    picked = pick_rows(ROWS, 5, seed=1)
    assert len(picked) == 5
    assert picked == pick_rows(ROWS, 5, seed=1)
    assert picked != pick_rows(ROWS, 5, seed=2)
    assert picked == sorted(picked, key=ROWS.index)
    assert pick_rows(ROWS, 12, seed=1) == ROWS


def test_an_empty_eval_set_is_refused(stage: Stage, tiny_model: Path, adapter: Path, tmp_path: Path):
    (tmp_path / "eval.jsonl").touch()
    with pytest.raises(InvalidInput, match=r"eval set: 1 problem\n.*no rows.*add held-out rows"):
        compare(config(tiny_model), adapter, tmp_path / "eval.jsonl", tmp_path / "scores.json", stage)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param("{", "not JSON", id="broken"),
        pytest.param('{"peft_type": "LORA"}', r"give \[None\], wanted whole numbers above 0", id="no rank"),
        pytest.param('{"r": 0}', r"give \[0\]", id="rank 0"),
    ],
)
def test_a_bad_adapter_config_is_refused(
    stage: Stage, tiny_model: Path, adapter: Path, eval_set: Path, tmp_path: Path, content: str, words: str
):
    (adapter / "adapter_config.json").write_text(content)
    with pytest.raises(InvalidInput, match=words):
        compare(config(tiny_model), adapter, eval_set, tmp_path / "scores.json", stage)


def test_every_guard_item_is_a_short_question_that_does_not_give_its_answer_away():
    items = read_conversations(GUARD_SET)
    questions = [item.prompt[0]["content"] for item in items]
    assert len(items) == len(set(questions)) == 40
    for item, question in zip(items, questions, strict=True):
        assert len(item.completion.split()) <= 2
        assert item.completion.casefold() not in question.casefold().split()


def test_a_call_of_a_tool_is_asked_for_as_the_template_writes_it_and_shown_to_be_read(
    tiny_model: Path, tmp_path: Path
):
    call = {"name": "price", "arguments": {"item": "bed"}}
    turns = [
        {"role": "user", "content": "Cost of a bed?"},
        {"role": "assistant", "content": "", "reasoning": "Look it up.", "tool_calls": [call]},
    ]
    asks = Conversation.model_validate({"messages": turns})
    answers = Conversation.model_validate(
        {
            "messages": [
                *turns,
                {"role": "tool", "content": "2"},
                {"role": "assistant", "content": "2 dollars", "reasoning": "It says 2."},
            ]
        }
    )
    model = with_template(tiny_model, CHATML_TOOLS, tmp_path)
    wanted = references([asks, answers], model)
    assert wanted == ['<call>{"name": "price", "arguments": {"item": "bed"}}</call>', "2 dollars"]

    said = {"base": ["No"] * 2, "tuned": wanted}
    examples = score_rows([asks, answers], said, METRICS, wanted)
    assert [example.tuned["exact_match"] for example in examples] == [1, 1]
    shown = example_answers(scores_of(examples))
    prompts = {str(row["prompt"]) for row in shown}
    assert prompts == {
        "Cost of a bed?",
        'user: Cost of a bed?\nassistant: price({"item": "bed"})\ntool: 2',
    }


def scores_of(examples: tuple[ScoredExample, ...]) -> Scores:
    return Scores(
        adapter_digest="sha256:1",
        base_model="tiny",
        base_revision="1",
        examples=examples,
        guard=examples,
        guard_base=0,
        guard_tuned=0,
    )
