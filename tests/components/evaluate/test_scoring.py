import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.evaluate.normalise import normalise
from components.evaluate.scoring import score


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("The Cat,  sat!", "cat sat", id="case, article, punctuation, spaces"),
        pytest.param("a an the", "a an the", id="only articles stay"),
        pytest.param(" + ", "+", id="only punctuation stays"),
        pytest.param("", "", id="empty"),
        pytest.param("$12.50.", "12.50", id="decimal point stays, full stop goes"),
        pytest.param("$1,250", "1250", id="thousands"),
        pytest.param("12,50", "12,50", id="decimal comma stays"),
        pytest.param("3–5 days", "3-5 days", id="range, whichever dash"),  # noqa: RUF001
        pytest.param("−5 °C", "-5 c", id="minus sign"),  # noqa: RUF001
        pytest.param("exchange_rate", "exchangerate", id="underscore goes, as in SQuAD"),
        pytest.param("“Straße”", "strasse", id="curly quotes, case folding"),
        pytest.param("theatre", "theatre", id="an article inside a word stays"),
    ],
)
def test_normalise(text: str, wanted: str):
    assert normalise(text) == wanted


@pytest.mark.parametrize(
    ("metric", "answer", "reference", "wanted"),
    [
        pytest.param("exact_match", "The cat.", "cat", 1.0, id="equal after normalisation"),
        pytest.param("exact_match", "cat food", "cat", 0.0, id="a word too many"),
        pytest.param("exact_match", "12.50", "1250", 0.0, id="another price"),
        pytest.param("exact_match", "", "A", 0.0, id="nothing is not A"),
        pytest.param("token_f1", "cat", "cat", 1.0, id="same words"),
        # common 2, answer 4 words, reference 3: P 2/4, R 2/3, F1 4/7
        pytest.param("token_f1", "dry cat food today", "cat food bag", 4 / 7, id="two words in common"),
        pytest.param("token_f1", "cat cat", "cat", 2 / 3, id="a repeated word counts once"),
        pytest.param("token_f1", "dog", "cat", 0.0, id="nothing in common"),
        pytest.param("token_f1", "", "cat", 0.0, id="no answer"),
        pytest.param("token_f1", "", "", 1.0, id="both empty"),
        pytest.param("contains", "The capital of France is Paris.", "Paris", 1.0, id="in a sentence"),
        pytest.param("contains", "New York City", "new york", 1.0, id="two words side by side"),
        pytest.param("contains", "York is new", "new york", 0.0, id="two words in another order"),
        pytest.param("contains", "Parisian", "Paris", 0.0, id="part of a word"),
    ],
)
def test_score(state: Path, metric: str, answer: str, reference: str, wanted: float):
    assert score(metric, [answer], [reference]) == [pytest.approx(wanted)]


def test_scores_keep_their_order(state: Path):
    assert score("exact_match", ["a b", "x", "c"], ["a b", "y", "c"]) == [1.0, 0.0, 1.0]
    assert score("exact_match", [], []) == []


def test_metrics_load_without_a_home_and_without_the_hub(tmp_path: Path):
    program = (
        "import evaluate\n"
        "from components.evaluate import scoring\n"
        "print(scoring.score('token_f1', ['x'], ['x']), scoring.score('contains', ['y'], ['x']))\n"
        "metric = evaluate.load(str(scoring._METRICS / 'exact_match'))\n"
        "print(metric.compute(predictions=['x', 'y'], references=['x', 'x'])['exact_match'])\n"
    )
    environment = os.environ | {
        "HOME": "/proc/no-home",
        "HF_HUB_OFFLINE": "1",
        "HF_EVALUATE_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hub"),
        "TUNEGATE_HOME": str(tmp_path / "state"),
    }
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["[1.0] [0.0]", "0.5"]
