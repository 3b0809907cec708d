from dataclasses import replace

import pytest

from components.release.card.facts import Example
from components.release.card.page import render_card
from components.release.outcome import derive_outcome
from components.tracking.records import RecordedStage

from . import samples

WAYS_TO_END = [
    pytest.param(samples.promoted, "promoted", id="promoted"),
    pytest.param(samples.refused_at_quality, "refused", id="refused at quality"),
    pytest.param(samples.refused_at_service, "refused", id="refused at service"),
    pytest.param(samples.failed_in_finetune, "failed", id="failed"),
]


def card(stages: list[RecordedStage], **changes: object) -> str:
    return render_card(replace(samples.FACTS, **changes), stages, derive_outcome(stages))  # type: ignore[arg-type]


@pytest.mark.parametrize(("stages", "ending"), WAYS_TO_END)
def test_every_check_stands_on_the_card_with_its_words(stages, ending: str):
    recorded = stages()
    page = card(recorded)
    assert derive_outcome(recorded).ending == ending
    assert f">{ending.upper()}</span>" in page
    checks = [check for s in recorded for verdict in s.record.verdicts for check in verdict.checks]
    assert checks
    for check in checks:
        assert f'title="{check.name}"' in page
        assert check.why in page
    assert page.count('class="status passed"') == sum(check.status == "passed" for check in checks)


@pytest.mark.parametrize(("stages", "ending"), WAYS_TO_END)
def test_the_page_stands_alone(stages, ending: str):
    page = card(stages())
    assert "<script" not in page
    assert "src=" not in page.replace('src="data:image/png;base64,', "")
    assert "<link" not in page and "@import" not in page and "url(" not in page
    assert page.count("<img") == sum(len(stage.pictures) for stage in stages())


def test_a_promoted_card_says_what_serves_and_how_to_ask_it():
    page = card(samples.promoted())
    assert "All 13 checks passed; it takes the live traffic." in page
    assert "21.3 % → 86.1 %" in page
    assert "Closest to its limit: long prompts goodput" in page
    assert "curl -s http://127.0.0.1:8041/v1/chat/completions" in page
    assert "tunegate rollback --model petstore" in page
    assert f'title="{samples.DIGEST}"' in page
    assert "dataset, finetune: unchanged since release" in page
    assert "tunegate mlflow" in page


def test_what_users_saw_under_load_stands_in_a_table():
    page = card(samples.promoted())
    assert "<td>long prompts, normal users</td>" in page
    assert '<td>steady</td><td class="n">150</td><td class="n">0 %</td><td class="n">94 %</td>' in page


def test_the_candidates_own_endpoint_is_not_given_to_clients():
    assert "127.0.0.1:9100" not in card(samples.promoted())
    assert "127.0.0.1:9100" not in card(samples.refused_at_service())


def test_nothing_is_said_twice():
    promoted, refused = card(samples.promoted()), card(samples.refused_at_service())
    assert "Registered version" not in promoted and ">version 4<" in promoted
    assert ">Registered version<" in refused and ">Champion<" not in refused
    assert "Retired deployment" in refused and ">Deployment<" not in refused
    assert ">Image digest<" not in promoted


def test_a_refusal_says_what_was_found_and_what_was_asked():
    page = card(samples.refused_at_service())
    assert "Refused at the service gate: of 6 checks, 1 failed." in page
    assert "killed recovery failed: 287 s, limit ≤ 240 s; from the kill until" in page
    assert "\N{MINUS SIGN}47 s" in page
    assert "the earlier champion" in page


def test_what_was_never_measured_is_not_called_zero():
    stages = samples.promoted()
    stages[7] = samples.service_stage(None)
    assert "not measured" in card(stages)


def test_a_stage_that_ran_again_counts_once():
    stages = samples.promoted()
    first_try = samples.finetune_stage(status="failed", error="killed by a full disk")
    page = card([stages[0], first_try, *stages[1:]])
    assert "PROMOTED" in page
    assert "full disk" not in page


def test_a_cached_stage_whose_run_is_gone_is_still_shown_as_cached():
    page = card([stage for stage in samples.promoted() if stage.record.stage != "finetune"])
    assert '<b>finetune</b><span class="state">↺ cached' in page


def test_what_people_wrote_is_escaped():
    hostile = '<img src=x onerror="alert(1)">'
    stages = samples.promoted()
    stages[0].record.facts["dataset"] = hostile
    stages[1].record.params["base_model"] = hostile
    stages[2].record.verdicts.extend(samples.quality_stage(0.5, "passed", hostile).record.verdicts)
    page = card(stages, examples=(Example(hostile, hostile, hostile, "it's </pre>", 1.0),))
    assert "<img src=x" not in page and "it's </pre>" not in page
    assert page.count("&lt;img src=x") >= 6


def test_a_question_with_a_quote_is_still_one_shell_word():
    page = card(samples.promoted(), examples=(Example("What's new?", "a", "b", "c", 1.0),))
    assert "What&#39;&#34;&#39;&#34;&#39;s new?" in page


def test_an_mlflow_server_needs_no_start():
    page = card(samples.promoted(), mlflow_url="https://mlflow.example/#/x", mlflow_serves=True)
    assert "https://mlflow.example/#/x" in page
    assert "tunegate mlflow" not in page
