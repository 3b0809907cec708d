"""Finish or take back what was begun with a model's traffic and stopped half-way; go on under its lease.

A promotion or roll-back is finished where the traffic is there already and the registry knows what takes it:
its proof was there before the intent was written. All else is taken back. A retirement is finished.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from components.errors import TunegateError
from components.release.ending import record_promotion, record_stopped
from components.release.move import Move, retirement, takes_traffic
from components.release.traffic import carry_out, finish
from components.release.undoing import take_back
from components.serve.backend import Backend
from components.serve.lease import WAIT_S, Intent, Lease, LeaseLost, LeaseTaken, holder_words
from components.serve.spec import ServingSpec, deployment_name
from components.serve.targets import serving_backend
from components.tracking import model_registry, runs
from components.tracking.stage import Stage

if TYPE_CHECKING:
    from mlflow import MlflowClient

LOOK_WAIT_S = 120  # of those who come for something else: longer than a lease lasts whose holder is gone
Say = Callable[[str], None]


@contextmanager
def settled_lease(
    backend: Backend,
    client: "MlflowClient",
    model_name: str,
    what: str,
    say: Say,
    wait_s: float = WAIT_S,
    own_release: str = "",
) -> Iterator[Lease]:
    """Hold the lease of a model name, with nothing half-done before it.

    Args:
        backend: Where the model is served.
        client: Of the registry.
        model_name: Whose traffic.
        what: What wants the lease, in words.
        say: Called with one line a step.
        wait_s: Longest wait for somebody else.
        own_release: A release whose own promotion is left as it is, since it is tried again.

    Raises:
        LeaseTaken: Somebody else has the lease still.
    """
    with backend.lease(model_name, holder_words(what), say, wait_s) as lease:
        intent = lease.intent()
        if intent and not (own_release and intent.release == own_release):
            settle(Move(backend, client, lease, intent, say))
        yield lease


def settle(move: Move) -> None:
    """Finish or take back what was begun by somebody who is gone; see this module.

    Where neither is possible the intent stands, and that is said: it must be in nobody's way, since what
    comes next may be what sets it right.

    Raises:
        LeaseLost: Somebody else has taken the lease over, and settles it.
    """
    intent = move.intent
    what = f"the {intent.kind} of {intent.to_deployment}"
    move.say(f"{what} by {intent.by} was stopped half-way")
    if intent.release and intent.kind == "promotion":
        move.record = record_promotion
    try:
        if intent.kind == "retirement" or can_be_finished(move.backend, move.client, intent):
            finish(move)
            move.say(f"{what} was finished")
        else:
            if intent.release and intent.kind == "promotion":
                record_stopped(move)
            take_back(move, retire=True)
    except LeaseLost:
        raise
    except (TunegateError, OSError) as error:
        move.say(f"{what} could not be settled: {error}")


def can_be_finished(backend: Backend, client: "MlflowClient", intent: Intent) -> bool:
    """Return whether what was stopped half-way is to be finished; else it is to be taken back."""
    if intent.to_spec is None or not takes_traffic(backend, intent.model_name, intent.to_deployment):
        return False
    champion = model_registry.champion(client, intent.model_name)
    if champion is not None and champion.version == intent.to_version:
        return True
    found = model_registry.version_of(client, intent.model_name, intent.to_spec.image)
    is_registered = found is not None and (found.version, found.adapter_digest) == (
        intent.to_version,
        intent.to_spec.adapter_digest,
    )
    return intent.proved and is_registered


def settle_left(backend: Backend, client: "MlflowClient", model_name: str, what: str, say: Say) -> None:
    """Settle what somebody who is gone has left half-done with a model; what somebody is at is left alone."""
    left = backend.unfinished(model_name)
    if left is None or left.holder:
        return
    try:
        with settled_lease(backend, client, model_name, what, say, LOOK_WAIT_S):
            pass
    except LeaseTaken as error:  # then whoever has it settles it
        say(str(error))


def settle_before(serving_target: str, model_name: str, stage: Stage) -> None:
    """Settle what an earlier release has left half-done; whether the target can be used is not asked here."""
    try:
        backend = serving_backend(serving_target)
        settle_left(backend, stage.client, model_name, f"release {runs.release_id()}", stage.say)
    except TunegateError as error:
        stage.say(f"nobody knows whether something was left half-done: {error}")


def retire(
    backend: Backend, client: "MlflowClient", lease: Lease, spec: ServingSpec, by: str, say: Say
) -> None:
    """Retire a deployment that takes no traffic; if that is stopped half-way, whoever comes next finishes it.

    Args:
        backend: Where it is.
        client: Of the registry.
        lease: Of its model name.
        spec: The deployment.
        by: Who retires it, in words.
        say: Called with one line a step.

    Raises:
        TunegateError: It could not be retired.
    """
    intent = retirement(spec.model_name, spec.name, by)
    carry_out(Move(backend, client, lease, intent, say))


def deployments_of(backend: Backend, release: str) -> list[ServingSpec]:
    """Return what a release has deployed."""
    return [spec for spec in backend.deployments() if spec.name == deployment_name(spec.model_name, release)]
