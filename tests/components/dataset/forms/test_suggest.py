"""What is told about a file whose rows have no known form."""

import shlex

import pytest

from components.dataset.forms.columns import read_columns
from components.dataset.forms.suggest import suggest_columns


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        pytest.param(
            {"problem": "Q", "solution": "A", "level": 3}, "prompt=problem, completion=solution", id="maths"
        ),
        pytest.param({"text": "Q", "intent": "A"}, "prompt=text, completion=intent", id="labels"),
        pytest.param({"foo": "Q", "bar": "A"}, "prompt=foo, completion=bar", id="in-their-order"),
        pytest.param(
            {"question": "Q", "gold_label": "A"}, "prompt=question, completion=gold_label", id="half"
        ),
        pytest.param({"User Question": "Q", "Bot": 5}, "prompt=User Question, completion=Bot", id="capitals"),
        pytest.param({"id": 1, "chat": [{"a": 1}, {"a": 2}]}, "messages=chat", id="turns"),
        pytest.param({"id": 1, "chat": '[{"a": 1}, {"a": 2}]'}, "messages=chat", id="turns-as-json-text"),
    ],
)
def test_the_nearest_form_is_suggested(row: dict[str, object], columns: str):
    told = suggest_columns([row, None, row])
    assert told.endswith(f"try --set columns='{columns}'")
    assert f"has the fields {', '.join(row)};" in told.replace("its rows have", "has")
    assert read_columns(columns).text == columns


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([], id="no-rows"),
        pytest.param([1, None, "a", []], id="no-objects"),
        pytest.param([{}, {"a": None}], id="no-values"),
    ],
)
def test_nothing_is_told_of_rows_without_fields(values: list[object]):
    assert suggest_columns(values) == ""


def test_one_field_is_told_with_what_was_wanted():
    told = suggest_columns([{"text": "Q A"}])
    assert told.startswith("its rows have the fields text; wanted messages")


def test_a_name_that_would_mean_something_to_a_shell_is_not_suggested():
    told = suggest_columns([{"a'; rm -rf . #": "Q", "$(b)": "A", "c": "x", "d": "y"}])
    assert shlex.split(told.partition("try ")[2]) == ["--set", "columns=prompt=c, completion=d"]


def test_many_and_long_names_are_cut():
    told = suggest_columns([{"x" * 1_000_000: "Q"}, {f"field {number}": "A" for number in range(500)}])
    assert len(told) < 1000
    assert "and 489 more" in told
