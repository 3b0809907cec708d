from pathlib import Path

import pytest

from components.errors import InvalidInput
from pipelines.kubeflow.params import KubeflowParams
from pipelines.params import ReleaseParams
from pipelines.reading import load_params, read_params


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        pytest.param({}, ["dataset: missing", "--dataset"], id="nothing given"),
        pytest.param(
            {"dataset": "x", "lora_r": "0", "learning_rate": "-1"},
            ["2 problems", "lora_r: got '0'", "greater than or equal to 1", "learning_rate: got '-1'"],
            id="every value out of range is named",
        ),
        pytest.param(
            {"dataset": "x", "lora_rank": "8"}, ["lora_rank: no such parameter", "lora_r?"], id="typo"
        ),
        pytest.param(
            {"dataset": "x", "replicas": "two"}, ["replicas: got 'two'", "integer"], id="wrong type"
        ),
        pytest.param(
            {"dataset": "x", "model_name": "Pet Store"}, ["model_name: got 'Pet Store'"], id="no DNS label"
        ),
        pytest.param(
            {"dataset": "x", "max_model_len": 64, "max_new_tokens": 64},
            ["max_new_tokens: got 64, must be less than max_model_len (64)"],
            id="two that do not fit together",
        ),
        pytest.param(
            {
                "dataset": "x",
                "max_new_tokens": 2048,
                "serving_target": "kubernetes",
                "image_repository": "oci:/x",
            },
            ["2 problems", "max_new_tokens: got", "image_repository: got 'oci:/x', must name a registry"],
            id="an image on disk for a cluster",
        ),
        pytest.param(
            {"dataset": "x", "lora_r": "0", "max_eval_rows": "5", "max_new_tokens": "x"},
            ["3 problems", "lora_r: got '0'", "max_eval_rows: got 5, must be", "max_new_tokens: got 'x'"],
            id="what does not fit together is told beside what is out of range",
        ),
        pytest.param(
            {"dataset": "x", "serving_target": "kubernetes", "image_repository": "5", "lora_r": "0"},
            ["1 problem\n"],
            id="what is right is no problem",
        ),
        pytest.param(
            {"dataset": "x", "quality_metric": "bleu"},
            ["quality_metric: got 'bleu', wanted one of contains, exact_match, token_f1"],
            id="a metric that is not in components/evaluate/metrics",
        ),
        pytest.param(
            {"dataset": "x", "tool_call_parser": "hermit", "learn_turns": "some"},
            ["tool_call_parser: got 'hermit', wanted nothing or one of", "hermes", "learn_turns: got 'some'"],
            id="a parser that vLLM does not have, and other turns than there are",
        ),
    ],
)
def test_bad_values_are_refused_all_at_once(overrides, words):
    with pytest.raises(InvalidInput) as refused:
        load_params(None, overrides)
    for word in words:
        assert word in str(refused.value)


def test_gpus_that_would_be_reserved_and_not_used_are_refused():
    with pytest.raises(InvalidInput, match="train_gpus: got '2', input should be less than or equal to 1"):
        read_params(KubeflowParams, None, {"dataset": "x", "image_repository": "r", "train_gpus": "2"})


def test_what_is_missing_or_unknown_on_kubeflow_is_told_for_kubeflow():
    with pytest.raises(InvalidInput) as refused:
        read_params(KubeflowParams, None, {"unheard_of": 1})
    assert refused.value.problems == [
        "dataset: missing; give --dataset or --set dataset=...",
        "image_repository: missing; give --set image_repository=...",
        "unheard_of: no such parameter; `tunegate params --kubeflow` lists them",
    ]


def test_several_sources_of_a_preset_are_a_list_or_a_text(tmp_path: Path):
    preset = tmp_path / "preset.yaml"
    preset.write_text("dataset: [a.jsonl, 's3://b/c', data/*.csv]\neval_dataset: e.jsonl + f.jsonl\n")
    params = load_params(preset, {})
    assert params.dataset == f"{tmp_path}/a.jsonl + s3://b/c + {tmp_path}/data/*.csv"
    assert params.eval_dataset == f"{tmp_path}/e.jsonl + {tmp_path}/f.jsonl"
    assert load_params(None, {"dataset": ["a", "b"]}).dataset == "a + b"
    preset.write_text("dataset: [a.jsonl, 7]\nlora_r: 0\n")
    with pytest.raises(InvalidInput) as told:
        load_params(preset, {})
    assert [problem.partition(":")[0] for problem in told.value.problems] == ["dataset", "lora_r"]


def test_a_preset_names_its_data_relative_to_itself(tmp_path: Path):
    (tmp_path / "p.yaml").write_text(
        "dataset: data/train.jsonl\neval_dataset: https://host/eval.jsonl\nlora_r: 4\n"
    )
    params = load_params(tmp_path / "p.yaml", {"lora_r": "8"})
    assert params.dataset == str(tmp_path / "data" / "train.jsonl")
    assert params.eval_dataset == "https://host/eval.jsonl"
    assert params.lora_r == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("- a\n- b\n", "mapping of parameter names", id="a list"),
        pytest.param("a: [", "could not be read", id="no YAML"),
        pytest.param("dataset: x\nlora_q: 1\n", "no such parameter", id="an unknown name"),
        pytest.param("dataset: 5\n", "dataset: got 5, input should be a valid string", id="a number"),
    ],
)
def test_a_broken_preset_is_refused(tmp_path: Path, text: str, words: str):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=words):
        load_params(tmp_path / "p.yaml", {})


@pytest.mark.parametrize("preset", sorted(Path("pipelines/presets").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_presets(preset: Path):
    params = load_params(preset, {})
    assert Path(params.dataset).is_file()
    first = preset.read_text().splitlines()
    assert first[0].startswith("# ") and any(f"--preset {preset}" in line for line in first[:6])


def test_every_parameter_says_what_it_does():
    assert all(field.description for field in ReleaseParams.model_fields.values())
