"""The contract is one that can be broken."""

from typing import Any

import pytest

from tests.pipelines.kubeflow.contract import violations


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param({"display_name": "x", "state": "RUNNING"}, "", id="right"),
        pytest.param(
            {"displayName": "x"}, "displayName: no field of V2beta1Run", id="a name of another case"
        ),
        pytest.param({"display_name": 3}, "display_name: 3 is no str", id="a type"),
        pytest.param({"state": "DONE"}, "'DONE' is none of", id="a value that is not allowed"),
        pytest.param(
            {"pipeline_version_reference": {"version": "v"}},
            "pipeline_version_reference.version: no field",
            id="further down",
        ),
        pytest.param({"state_history": [{"state": 1}]}, "state_history[0].state", id="in a list"),
        pytest.param({"created_at": "yesterday"}, "is no time", id="a time"),
        pytest.param({"runtime_config": {"parameters": {"a": {"b": [1]}}}}, "", id="any JSON as a parameter"),
    ],
)
def test_what_breaks_the_contract_is_found(body: dict[str, Any], words: str):
    found = "; ".join(violations(body, "V2beta1Run"))
    assert words in found if words else not found
