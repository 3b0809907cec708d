"""How a release ended, as MLflow and its card say it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.release.card.facts import Serving, gather_facts
from components.release.card.page import render_card
from components.release.move import Move
from components.release.outcome import Ending, Outcome, derive_outcome
from components.serve.backend import Backend
from components.settings import home
from components.storage import atomic_write
from components.tracking import model_registry, records, runs
from components.tracking.records import RECORD, RecordedStage, StageRecord

if TYPE_CHECKING:
    from mlflow import MlflowClient

OUTCOME_TAG = "tunegate.outcome"
REASON_TAG = "tunegate.reason"
PROMOTE = "promote"  # the stage


def outcome(release: str) -> Ending:
    """Return how a release ended; of one that was never closed, what its records say so far."""
    client = runs.client()
    parent = runs.find_parent_run(client, release)
    if parent is None:
        return "failed"
    tagged = client.get_run(parent).data.tags.get(OUTCOME_TAG)
    if tagged in ("promoted", "refused", "skipped", "failed"):
        return tagged  # type: ignore[return-value]  # the line above says so
    return outcome_so_far(client, release).ending


def outcome_so_far(client: "MlflowClient", release: str) -> Outcome:
    """Return how a release has ended as far as its stages' records say."""
    return derive_outcome(records.recorded_stages(client, release, with_pictures=False))


def write_ending(
    client: "MlflowClient",
    release: str,
    model_name: str,
    serving: Serving | None,
    problems: Sequence[str],
    card_paths: Sequence[Path],
) -> Outcome:
    """End the parent run of a release as its records say, and write its card.

    Args:
        client: Of MLflow.
        release: Which one.
        model_name: The model that it is of.
        serving: What serves now.
        problems: What went wrong at the end.
        card_paths: Where the card is written, besides the parent run, the last one last.
    """
    stages = records.recorded_stages(client, release)
    ended = derive_outcome(stages)
    card = render_card(gather_facts(client, release, model_name, stages, serving, problems), stages, ended)
    for path in card_paths[:-1]:
        _write(path, card)
    _end_parent(client, release, stages, ended, card)
    for path in card_paths[-1:]:
        _write(path, card)
    return ended


def what_serves(client: "MlflowClient", backend: Backend, model_name: str) -> Serving | None:
    """Return what takes the live traffic of a model, and its version if that is the registry's champion."""
    live, registered = backend.champion(model_name), model_registry.champion(client, model_name)
    if live is None:
        return None
    same = registered is not None and registered.adapter_digest == live.adapter_digest
    return Serving(
        deployment=live.name,
        version=registered.version if registered and same else "",
        endpoint=backend.live_endpoint(model_name),
    )


def record_promotion(move: Move) -> None:
    """Record that a release was promoted whose own stage was stopped before it could say so.

    It is one more try of its `promote` stage. A release that was closed already gets another ending and card.
    """
    client, intent = move.client, move.intent
    if outcome_so_far(client, intent.release).ending != "promoted":
        _record_stage(move, _promoted(move))
    parent = runs.parent_run(client, intent.release)
    if client.get_run(parent).data.tags.get(OUTCOME_TAG) not in (None, "promoted"):
        folder = home() / "releases" / intent.release
        cards = [folder / "card.html"] if folder.is_dir() else []
        serving = what_serves(client, move.backend, intent.model_name)
        write_ending(client, intent.release, intent.model_name, serving, [], cards)


def record_stopped(move: Move) -> None:
    """Record that the promotion of a release was stopped half-way, unless its stage has said how it ended."""
    stages = records.recorded_stages(move.client, move.intent.release, with_pictures=False)
    if all(stage.record.stage != PROMOTE for stage in stages):
        error = "was stopped half-way; whoever came next took it back"
        _record_stage(move, StageRecord(stage=PROMOTE, status="killed", started_at=time.time(), error=error))


def promoted_facts(move: Move) -> dict[str, str]:
    """Return what is noted of a promotion whose traffic and alias have moved."""
    model_name = move.intent.model_name
    facts = {
        "endpoint": move.backend.live_endpoint(model_name),
        "champion_version": move.intent.to_version,
    }
    previous = model_registry.previous(move.client, model_name)
    return facts | ({"previous_version": previous.version} if previous else {})


def _promoted(move: Move) -> StageRecord:
    settled = f"it was stopped half-way ({move.intent.by}) and finished by whoever came next"
    return StageRecord(
        stage=PROMOTE, started_at=time.time(), facts=promoted_facts(move) | {"settled": settled}
    )


def _record_stage(move: Move, record: StageRecord) -> None:
    client, release = move.client, move.intent.release
    run = runs.nested_run(client, release, runs.parent_run(client, release), PROMOTE)
    client.log_text(run, record.model_dump_json(indent=2), RECORD)
    client.set_terminated(run, record.status.upper())


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def _end_parent(
    client: "MlflowClient", release: str, stages: list[RecordedStage], outcome: Outcome, card: str
) -> None:
    parent = runs.parent_run(client, release)
    client.log_text(parent, card, "card.html")
    if OUTCOME_TAG not in client.get_run(parent).data.tags:
        for stage in stages:
            for verdict in stage.record.verdicts:
                for check in verdict.checks:
                    if check.value is not None:
                        client.log_metric(parent, f"{verdict.stage}/{check.name}", check.value)
    client.set_tag(parent, OUTCOME_TAG, outcome.ending)
    client.set_tag(parent, REASON_TAG, outcome.why)
    well = outcome.ending in ("promoted", "skipped")
    status = "FINISHED" if well else "KILLED" if outcome.killed else "FAILED"
    if client.get_run(parent).info.status != status:
        client.set_terminated(parent, status)
