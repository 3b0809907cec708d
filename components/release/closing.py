"""Close a release, however it ended: clean up, say in MLflow how it ended, write the card."""

from pathlib import Path
from typing import TYPE_CHECKING

from components import progress
from components.errors import TunegateError
from components.release.card.facts import Serving, gather_facts
from components.release.card.page import render_card
from components.release.outcome import Ending, Outcome, derive_outcome
from components.release.promotion import deployments_of
from components.serve.backend import Backend
from components.serve.targets import serving_backend
from components.settings import home
from components.storage import atomic_write
from components.tracking import model_registry, records, runs
from components.tracking.records import RecordedStage
from components.tracking.stage import end_abandoned

if TYPE_CHECKING:
    from mlflow import MlflowClient

OUTCOME_TAG = "tunegate.outcome"
REASON_TAG = "tunegate.reason"
STAGE = "close"


def close(serving_target: str, model_name: str, card_path: Path) -> None:
    """Retire what is left of the release unless it serves, end its MLflow run and write its card.

    A second call changes nothing. What goes wrong with the clean-up stands on the card and in the
    log and is not raised: how the release itself ended must not be hidden by it.

    Args:
        serving_target: Where the candidate may be deployed.
        model_name: The model that the release is of.
        card_path: Where the card is written; also kept with the parent run and in the state directory.
    """
    release, client = runs.release_id(), runs.client()
    progress.report(STAGE, "started", "")
    end_abandoned(client, release)
    stages = records.recorded_stages(client, release)
    ended = derive_outcome(stages)
    problems, serving = _settle(client, serving_target, model_name, release, ended)
    facts = gather_facts(client, release, model_name, stages, serving, problems)
    card = render_card(facts, stages, ended)
    _write(card_path, card)
    _end_parent(client, release, stages, ended, card)
    # Last, because whoever started the release closes it again as long as this file is not there.
    _write(home() / "releases" / release / "card.html", card)
    for problem in problems:
        progress.report(STAGE, "step", problem)
    progress.report(STAGE, "finished", f"{ended.ending}: {ended.why}")


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def outcome(release: str) -> Ending:
    """Return how a release ended; of one that was never closed, what its records say so far."""
    client = runs.client()
    parent = runs.find_parent_run(client, release)
    if parent is None:
        return "failed"
    tagged = client.get_run(parent).data.tags.get(OUTCOME_TAG)
    if tagged in ("promoted", "refused", "skipped", "failed"):
        return tagged  # type: ignore[return-value]  # the line above says so
    return derive_outcome(records.recorded_stages(client, release)).ending


def _settle(
    client: "MlflowClient", serving_target: str, model_name: str, release: str, outcome: Outcome
) -> tuple[list[str], Serving | None]:
    """Retire what the release left behind; return what went wrong and what serves now."""
    problems: list[str] = []
    try:
        backend = serving_backend(serving_target)
        if outcome.ending != "promoted":
            problems += _undo_half_promotion(client, backend, model_name, release)
        problems += _retire_unless_live(backend, release)
        return problems, _serving(client, backend, model_name)
    except Exception as error:  # whatever it is, it must not hide how the release ended
        return [*problems, f"The clean-up failed: {type(error).__name__}: {error}"], None


def _serving(client: "MlflowClient", backend: Backend, model_name: str) -> Serving | None:
    live, registered = backend.champion(model_name), model_registry.champion(client, model_name)
    if live is None:
        return None
    same = registered is not None and registered.adapter_digest == live.adapter_digest
    return Serving(
        deployment=live.name,
        version=registered.version if registered and same else "",
        endpoint=backend.live_endpoint(model_name),
    )


def _retire_unless_live(backend: Backend, release: str) -> list[str]:
    problems = []
    for spec in deployments_of(backend, release):
        live = backend.champion(spec.model_name)
        if live is not None and live.name == spec.name:
            continue
        try:
            backend.retire(spec.name)
        except (TunegateError, OSError) as error:
            problems.append(f"{spec.name} could not be retired and may still run: {error}")
        else:
            progress.report(STAGE, "step", f"retired {spec.name}")
    return problems


def _undo_half_promotion(
    client: "MlflowClient", backend: Backend, model_name: str, release: str
) -> list[str]:
    """Give the traffic back to the registry's champion if a promotion was stopped half-way."""
    live = backend.champion(model_name)
    if live is None or live.name not in {spec.name for spec in deployments_of(backend, release)}:
        return []
    champion = model_registry.champion(client, model_name)
    if champion is None:
        return [f"{live.name} takes the live traffic but is not the registry's champion: run again"]
    for spec in backend.deployments():
        if spec.name != live.name and spec.model_dump_json() == champion.serving_spec:
            backend.promote(spec.name)
            return [f"the promotion was stopped half-way: traffic went back to {spec.name}"]
    if champion.adapter_digest == live.adapter_digest:
        return [f"the promotion was stopped when {live.name} already served as version {champion.version}"]
    return [
        f"{live.name} takes the live traffic, but version {champion.version} is the registry's champion: "
        "`tunegate rollback` or run again"
    ]


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
