import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.evaluate.metrics import FOLDER, LABELS, METRICS, known_metric
from components.evaluate.normalise import normalise
from components.evaluate.scoring import score


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path_factory.mktemp("home")))


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
def test_score(metric: str, answer: str, reference: str, wanted: float):
    assert score(metric, [answer], [reference]) == [pytest.approx(wanted)]


def test_scores_keep_their_order():
    assert score("exact_match", ["a b", "x", "c"], ["a b", "y", "c"]) == [1.0, 0.0, 1.0]
    assert score("exact_match", [], []) == []


def test_every_folder_is_a_metric_with_its_name_in_words():
    assert METRICS == ("contains", "exact_match", "token_f1")
    assert LABELS == {"contains": "contains", "exact_match": "exact match", "token_f1": "token F1"}
    assert {folder.parent.name for folder in FOLDER.glob("*/__init__.py")} == {*METRICS}
    assert [known_metric(name) for name in METRICS] == [*METRICS]
    with pytest.raises(ValueError, match="wanted one of contains, exact_match, token_f1"):
        known_metric("bleu")


def test_metrics_load_without_a_home_and_without_the_hub(tmp_path: Path):
    """By scoring and by `evaluate` itself; pipelines, which nobody needs, are not loaded and can be later."""
    program = (
        "import sys\n"
        "from components.evaluate import scoring\n"
        "from components.evaluate.metrics import FOLDER, METRICS\n"
        "print(*[scoring.score(metric, ['x', 'y'], ['x', 'x']) for metric in METRICS])\n"
        "print({'torch', 'transformers.pipelines'} & {*sys.modules})\n"
        "import evaluate\n"
        "for name in METRICS:\n"
        "    metric = evaluate.load(str(FOLDER / name))\n"
        "    found = metric.compute(predictions=['x', 'y'], references=['x', 'x'])\n"
        "    print(metric.name, found, bool(metric.description))\n"
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
    assert done.stdout.splitlines() == [
        "[1.0, 0.0] [1.0, 0.0] [1.0, 0.0]",
        "set()",
        *(f"{name} {{'{name}': 0.5, 'scores': [1.0, 0.0]}} True" for name in METRICS),
    ]
