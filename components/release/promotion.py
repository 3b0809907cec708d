"""Promote a candidate that every gate has passed, or retire one that was refused."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import Field

from components import progress
from components.checks import Verdict
from components.errors import DigestMismatch, TunegateError
from components.release.ending import promoted_facts
from components.release.move import Move
from components.release.settling import deployments_of, retire, settled_lease
from components.release.traffic import MOVE_ALIAS, RECORD, SWITCH, carry_out
from components.serve.backend import Backend
from components.serve.lease import Intent, LeaseLost
from components.serve.spec import ServingSpec
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
    a roll-back brings it up from. All of it happens under the model's lease, and is written down before:
    what stops it half-way is finished or taken back by whoever comes next.

    Args:
        serving_target: Where the candidate is deployed.
        deployment_path: Its `ServingSpec`.
        verdict_paths: One verdict of each gate.
        evaluated_digest: The digest of the adapter that was evaluated.
        stage: Gets the facts `endpoint`, `champion_version` and `previous_version`, the metric `switch_s`.

    Raises:
        TunegateError: A verdict is not passed, or the adapter is not registered; nothing was changed.
        DigestMismatch: The adapter is not the same everywhere; nothing was changed.
        LeaseTaken: Somebody else moves the traffic of this model; nothing was changed.
        LeaseLost: Somebody else has taken the lease over and settles what was begun.
    """
    spec = ServingSpec.read(deployment_path)
    require_proof(spec, [Verdict.read(path) for path in verdict_paths], evaluated_digest)
    backend, release = serving_backend(serving_target), runs.release_id()
    what = f"release {release}"
    with settled_lease(backend, stage.client, spec.model_name, what, stage.say, own_release=release) as lease:
        registered = _registered(stage, spec)
        intent = lease.intent()
        # One that is this very promotion was begun by an earlier try.
        if intent is None or (intent.kind, intent.to_deployment) != ("promotion", spec.name):
            intent = _intent(backend, stage, spec, registered, serving_target)
        move = Move(backend, stage.client, lease, intent, stage.say, partial(_record, stage))
        try:
            carry_out(move)
        except LeaseLost as error:
            if RECORD not in move.took_s:
                raise
            stage.say(f"the promotion is complete, and the rest is somebody else's: {error}")
        if move.left_behind:
            stage.fact("left_behind", move.left_behind)


def _intent(
    backend: Backend,
    stage: Stage,
    spec: ServingSpec,
    registered: model_registry.RegisteredAdapter,
    serving_target: str,
) -> Intent:
    former = backend.champion(spec.model_name)
    champion = model_registry.champion(stage.client, spec.model_name)
    previous = model_registry.previous(stage.client, spec.model_name)
    return Intent(
        kind="promotion",
        model_name=spec.model_name,
        by=f"release {runs.release_id()}",
        release=runs.release_id(),
        began_at=time.time(),
        serving_target=serving_target,
        to_deployment=spec.name,
        to_version=registered.version,
        to_spec=spec,
        from_deployment=former.name if former else "",
        from_version=champion.version if champion else "",
        previous_version=previous.version if previous else "",
    )


def _record(stage: Stage, move: Move) -> None:
    """Keep how the promotion went; from here on the release counts as promoted."""
    stage.metric("switch_s", move.took_s[SWITCH] + move.took_s[MOVE_ALIAS])
    for name, text in promoted_facts(move).items():
        stage.fact(name, text)
    stage.keep()


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
    backend, release = serving_backend(serving_target), runs.release_id()
    what = f"release {release}"
    for spec in deployments_of(backend, release):
        with settled_lease(backend, stage.client, spec.model_name, what, stage.say) as lease:
            retire(backend, stage.client, lease, spec, what, stage.say)
        stage.fact("retired", spec.name)
