from pathlib import Path

import pytest

from components.checks import Check, Verdict, at_least
from components.errors import InvalidInput, TunegateError
from components.release.closing import close
from components.release.ending import OUTCOME_TAG, outcome
from components.release.promotion import promote_candidate
from components.tracking import model_registry, runs
from components.tracking.stage import open_stage

DIGEST = f"sha256:{'a' * 64}"
GOOD = at_least("goodput", 0.95, 0.9, "share", "most were fast")
BAD = at_least("goodput", 0.5, 0.9, "share", "half were slow")
UNSURE = Check(name="gain", value=0.1, limit=0.2, bound="min", unit="share", status="inconclusive", why="few")


def judge(name: str, check: Check, folder: Path) -> Path:
    verdict = Verdict(stage=name.removesuffix("-gate"), checks=(check,), adapter_digest=DIGEST)
    with open_stage(name, {}) as stage:
        stage.verdict(verdict)
    verdict.write(folder / f"{name}.json")
    return folder / f"{name}.json"


def promote(spec, verdict: Path, folder: Path) -> None:
    spec.write(folder / "deployment.json")
    with open_stage("promote", {}) as stage:
        promote_candidate("local", folder / "deployment.json", [verdict], DIGEST, stage)


def parent() -> tuple[str, str | None]:
    """Status and outcome of the parent run."""
    client = runs.client()
    run = client.get_run(runs.parent_run(client, "test-release"))
    return run.info.status, run.data.tags.get(OUTCOME_TAG)


def test_a_promoted_release(state, tmp_path, backend, champion, deploy):
    spec = deploy()
    promote(spec, judge("service-gate", GOOD, tmp_path), tmp_path)
    close("local", "petstore", tmp_path / "out" / "card.html")
    assert parent() == ("FINISHED", "promoted")
    assert outcome("test-release") == "promoted"
    assert backend.champion("petstore") == spec
    card = (tmp_path / "out" / "card.html").read_text()
    assert "PROMOTED" in card and "version 2" in card and "http://127.0.0.1:8041/v1" in card
    assert "tunegate rollback --model petstore" in card
    assert (state / "releases" / "test-release" / "card.html").read_text() == card
    client = runs.client()
    run = runs.parent_run(client, "test-release")
    assert Path(client.download_artifacts(run, "card.html", str(tmp_path))).read_text() == card
    assert client.get_run(run).data.metrics == {"service/goodput": 0.95}


def test_a_refused_release_whose_candidate_is_still_there(state, tmp_path, backend, champion, deploy):
    spec = deploy()
    judge("service-gate", BAD, tmp_path)
    close("local", "petstore", tmp_path / "card.html")
    assert parent() == ("FAILED", "refused")
    assert outcome("test-release") == "refused"
    assert spec.name not in backend.deployed
    assert backend.champion("petstore") == champion
    card = (tmp_path / "card.html").read_text()
    assert "REFUSED" in card and "half were slow" in card
    assert champion.name in card and "Goes on serving" in card
    assert "tunegate rollback" not in card


def test_an_inconclusive_gate_refuses(state, tmp_path, backend):
    judge("quality-gate", UNSURE, tmp_path)
    close("local", "petstore", tmp_path / "card.html")
    assert parent() == ("FAILED", "refused")
    assert "Refused at the quality gate: of 1 check, 1 inconclusive." in (tmp_path / "card.html").read_text()


def test_a_release_that_failed_says_every_problem(state, tmp_path, backend):
    with pytest.raises(InvalidInput), open_stage("dataset", {}):
        raise InvalidInput("<b>rows</b>.jsonl", ["line 1: <script>alert(1)</script>", "line 2: empty"])
    close("local", "petstore", tmp_path / "card.html")
    assert parent() == ("FAILED", "failed")
    card = (tmp_path / "card.html").read_text()
    assert "dataset failed: &lt;b&gt;rows&lt;/b&gt;.jsonl: 2 problems" in card
    assert "<li>line 2: empty</li>" in card
    assert "<script" not in card and "<b>rows" not in card


def test_a_stage_that_was_killed(state, tmp_path, backend, deploy):
    spec = deploy()
    killed = open_stage("stress", {})
    killed.__enter__()
    close("local", "petstore", tmp_path / "card.html")
    assert parent() == ("KILLED", "failed")
    assert "stress was stopped before it could finish" in (tmp_path / "card.html").read_text()
    assert spec.name not in backend.deployed


def test_a_release_without_any_stage(state, tmp_path, backend):
    close("local", "petstore", tmp_path / "card.html")
    assert parent() == ("FAILED", "failed")
    assert "No stage was started." in (tmp_path / "card.html").read_text()


def test_a_stage_that_left_no_record(state, tmp_path, backend):
    judge("quality-gate", GOOD, tmp_path)
    close("local", "petstore", tmp_path / "card.html")
    assert parent() == ("FAILED", "failed")
    assert "It ended after quality-gate" in (tmp_path / "card.html").read_text()


def test_closing_twice_is_closing_once(state, tmp_path, backend, champion, deploy):
    deploy()
    judge("service-gate", BAD, tmp_path)
    close("local", "petstore", tmp_path / "card.html")
    first, calls = (tmp_path / "card.html").read_bytes(), list(backend.calls)
    client = runs.client()
    run = runs.parent_run(client, "test-release")
    ended = client.get_run(run).info.end_time
    close("local", "petstore", tmp_path / "card.html")
    assert (tmp_path / "card.html").read_bytes() == first
    assert backend.calls == calls
    assert client.get_run(run).info.end_time == ended
    assert len(client.get_metric_history(run, "service/goodput")) == 1


def test_a_clean_up_that_fails_hides_nothing(state, tmp_path, backend, deploy):
    spec = deploy()
    judge("service-gate", BAD, tmp_path)
    backend.fail["retire"] = TunegateError("a replica hangs")
    close("local", "petstore", tmp_path / "card.html")
    card = (tmp_path / "card.html").read_text()
    assert "half were slow" in card
    assert f"{spec.name} could not be retired and may still run: a replica hangs" in card


def test_a_target_that_can_not_be_reached_hides_nothing(state, tmp_path, backend, monkeypatch):
    def unreachable(model_name: str) -> None:
        raise ConnectionError("no supervisor")

    judge("service-gate", BAD, tmp_path)
    monkeypatch.setattr(backend, "champion", unreachable)
    close("local", "petstore", tmp_path / "card.html")
    card = (tmp_path / "card.html").read_text()
    assert "half were slow" in card and "ConnectionError: no supervisor" in card


def test_a_promotion_that_was_killed_half_way_gives_the_traffic_back(
    state, tmp_path, backend, champion, deploy
):
    spec = deploy()
    backend.promote(spec.name)  # and killed before the alias moved
    close("local", "petstore", tmp_path / "card.html")
    assert backend.champion("petstore") == champion
    assert spec.name not in backend.deployed
    assert f"traffic went back to {champion.name}" in (tmp_path / "card.html").read_text()


def test_a_promotion_that_was_killed_after_the_alias_moved_goes_on_serving(
    state, tmp_path, backend, champion, deploy
):
    spec = deploy()
    backend.promote(spec.name)
    model_registry.set_champion(runs.client(), "petstore", "2", spec.model_dump_json(), "local")
    close("local", "petstore", tmp_path / "card.html")
    assert backend.champion("petstore") == spec
    assert outcome("test-release") == "promoted"
    assert champion.name not in backend.deployed
    card = (tmp_path / "card.html").read_text()
    assert f"the promotion of {spec.name} was finished" in card


def test_a_first_promotion_that_was_killed_half_way_is_named(state, tmp_path, backend, deploy):
    spec = deploy()
    backend.promote(spec.name)
    close("local", "petstore", tmp_path / "card.html")
    assert backend.champion("petstore") == spec
    assert "is not the registry&#39;s champion" in (tmp_path / "card.html").read_text()


def test_of_an_unknown_release_nothing_is_made(state):
    assert outcome("never") == "failed"
    assert runs.find_parent_run(runs.client(), "never") is None
