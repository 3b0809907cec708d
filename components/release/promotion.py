"""Promote a candidate that every gate has passed, or retire one that was refused."""

import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from components import progress
from components.checks import Verdict
from components.errors import DigestMismatch, TunegateError
from components.release.traffic import switch_traffic
from components.serve.backend import Backend
from components.serve.spec import ServingSpec, deployment_name
from components.serve.targets import serving_backend
from components.tracking import model_registry, runs
from components.tracking.shell import StageConfig
from components.tracking.stage import Stage


class EndConfig(StageConfig):
    """Where a release ends."""

    serving_target: str = Field(description="Where the candidate is deployed.")


def promote_candidate(
    serving_target: str,
    deployment_path: Path,
    verdict_paths: Sequence[Path],
    evaluated_digest: str,
    stage: Stage,
) -> None:
    """Switch the live traffic to the candidate, move the registry's alias, retire the former champion.

    Traffic first: an alias that is ahead of the traffic would name a champion that nobody is served
    by. The former champion is retired only when both have moved; its registered serving spec is what
    a roll-back brings it up from.

    Args:
        serving_target: Where the candidate is deployed.
        deployment_path: Its `ServingSpec`.
        verdict_paths: One verdict of each gate.
        evaluated_digest: The digest of the adapter that was evaluated.
        stage: Gets the facts `endpoint`, `champion_version` and `previous_version`, the metric `switch_s`.

    Raises:
        TunegateError: A verdict is not passed, or the adapter is not registered; nothing was changed.
        DigestMismatch: The adapter is not the same everywhere; nothing was changed.
    """
    spec = ServingSpec.read(deployment_path)
    require_proof(spec, [Verdict.read(path) for path in verdict_paths], evaluated_digest)
    backend = serving_backend(serving_target)
    registered = _registered(stage, spec)
    former = backend.champion(spec.model_name)
    stage.say(f"switch traffic from {former.name if former else 'nothing'} to {spec.name}")
    started = time.monotonic()
    switch_traffic(
        backend,
        stage.client,
        spec,
        lambda: model_registry.set_champion(
            stage.client, spec.model_name, registered.version, spec.model_dump_json(), serving_target
        ),
    )
    stage.metric("switch_s", time.monotonic() - started)

    stage.fact("endpoint", backend.live_endpoint(spec.model_name))
    stage.fact("champion_version", registered.version)
    previous = model_registry.previous(stage.client, spec.model_name)
    if previous is not None:
        stage.fact("previous_version", previous.version)
    if former is not None and former.name != spec.name:
        retire_former(backend, former, stage)


def _registered(stage: Stage, spec: ServingSpec) -> model_registry.RegisteredAdapter:
    found = model_registry.version_of(stage.client, spec.model_name, spec.image)
    if found is None:
        raise TunegateError(f"{spec.name} can't be promoted: {spec.image} is not registered")
    if found.adapter_digest != spec.adapter_digest:
        raise DigestMismatch(
            f"{spec.name} can't be promoted: version {found.version} is registered with "
            f"{found.adapter_digest}, deployed is {spec.adapter_digest}"
        )
    return found


def require_proof(spec: ServingSpec, verdicts: Sequence[Verdict], evaluated_digest: str) -> None:
    """Refuse unless every verdict is passed and all speak of the adapter that is deployed.

    Raises:
        TunegateError: A verdict is missing or not passed.
        DigestMismatch: One of them speaks of another adapter.
    """
    if not verdicts:
        raise TunegateError(f"{spec.name} can't be promoted: there is no verdict on it")
    standing_in_the_way = [f"{v.stage}: {why}" for v in verdicts for why in v.reasons]
    standing_in_the_way += [f"{v.stage}: no checks were made" for v in verdicts if not v.checks]
    if standing_in_the_way:
        raise TunegateError(f"{spec.name} can't be promoted: {'; '.join(standing_in_the_way)}")
    digests = {"deployed": spec.adapter_digest, "evaluated": evaluated_digest}
    digests |= {f"judged by {v.stage}": v.adapter_digest for v in verdicts}
    if len(set(digests.values())) > 1:
        found = ", ".join(f"{what} {digest or 'unknown'}" for what, digest in digests.items())
        raise DigestMismatch(f"{spec.name} can't be promoted: not one adapter throughout: {found}")


def retire_former(backend: Backend, former: ServingSpec, stage: Stage) -> None:
    """Retire the former champion; a promotion that is complete is not undone because this failed."""
    try:
        backend.retire(former.name)
    except (TunegateError, OSError) as error:
        stage.fact("left_behind", f"{former.name} could not be retired: {error}")
        stage.say(f"{former.name} could not be retired and still runs: {error}")
    else:
        stage.say(f"retired {former.name}")


def refuse_candidate(serving_target: str, verdict_path: Path, stage: Stage) -> None:
    """Retire this release's deployment, if it has one, and say why; an earlier champion serves on.

    Args:
        serving_target: Where a candidate may be deployed.
        verdict_path: The verdict that stands in the way.
        stage: Gets the fact `reasons`, and `retired` if there was a deployment.
    """
    verdict = Verdict.read(verdict_path)
    reasons = verdict.reasons or [f"{verdict.stage}: no checks were made"]
    progress.report(stage.record.stage, "refused", "; ".join(reasons))
    stage.fact("refused_by", verdict.stage)
    stage.fact("reasons", "\n".join(reasons))
    backend = serving_backend(serving_target)
    for spec in deployments_of(backend, runs.release_id()):
        backend.retire(spec.name)
        stage.fact("retired", spec.name)


def deployments_of(backend: Backend, release: str) -> list[ServingSpec]:
    """Return what a release has deployed."""
    return [spec for spec in backend.deployments() if spec.name == deployment_name(spec.model_name, release)]
