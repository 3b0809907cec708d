"""Bring the champion before the present one back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.errors import DigestMismatch, TunegateError
from components.release.move import Move
from components.release.settling import settled_lease
from components.release.traffic import carry_out
from components.serve.backend import Backend
from components.serve.lease import Intent
from components.serve.spec import ServingSpec
from components.serve.targets import serving_backend
from components.tracking import model_registry, runs
from components.tracking.model_registry import RegisteredAdapter

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class RolledBack:
    """What a roll-back did.

    Attributes:
        model_name: The model that clients ask for.
        from_version: The registry's version that served before; empty if none did.
        to_version: The version that serves now.
        endpoint: Where it is asked, without `/v1`.
        seconds: From the command to the switched traffic.
    """

    model_name: str
    from_version: str
    to_version: str
    endpoint: str
    seconds: float


def roll_back(model_name: str, ready_timeout_s: float, say: Callable[[str], None]) -> RolledBack:
    """Deploy the previous champion out of its image, switch traffic and alias to it, retire the present one.

    The present champion serves until the previous one is ready. A second roll-back undoes the first.
    It happens where the present champion is served, under the lease of the model's traffic.

    Args:
        model_name: Which model.
        ready_timeout_s: Longest wait for the previous champion to be ready.
        say: Called with one line a step.

    Raises:
        TunegateError: There is no previous champion, or it does not become ready; nothing was changed.
        DigestMismatch: Its image holds another adapter than the registry says; nothing was changed.
        LeaseTaken: Somebody else moves the traffic of this model; nothing was changed.
    """
    started = time.monotonic()
    client = runs.client()
    before = model_registry.champion(client, model_name)
    if before is None:
        raise TunegateError(
            f"{model_name} can't be rolled back: it has no champion; `tunegate run` makes one"
        )
    backend = serving_backend(before.serving_target)
    with settled_lease(backend, client, model_name, f"tunegate rollback of {model_name}", say) as lease:
        # While the lease was waited for, they may have moved.
        present, target = _champions(client, model_name)
        if present.serving_target != before.serving_target:
            raise TunegateError(
                f"{model_name} is served on {present.serving_target} now, no longer on "
                f"{before.serving_target}: run this again"
            )
        intent = _intent(backend, present, target, _spec_of(target))
        carry_out(Move(backend, client, lease, intent, say, ready_timeout_s=ready_timeout_s))
        rolled_back = RolledBack(
            model_name=model_name,
            from_version=present.version,
            to_version=target.version,
            endpoint=backend.live_endpoint(model_name),
            seconds=time.monotonic() - started,
        )
    say(f"version {target.version} of {model_name} serves at {rolled_back.endpoint}/v1")
    return rolled_back


def _champions(client: "MlflowClient", model_name: str) -> tuple[RegisteredAdapter, RegisteredAdapter]:
    """Return the present champion and the one to go back to."""
    present = model_registry.champion(client, model_name)
    target = model_registry.previous(client, model_name)
    if present is None or target is None or present.version == target.version:
        known = f"version {present.version} is its only champion so far" if present else "it has none"
        raise TunegateError(f"{model_name} can't be rolled back: {known}; `tunegate run` makes a release")
    return present, target


def _intent(
    backend: Backend, present: RegisteredAdapter, target: RegisteredAdapter, spec: ServingSpec
) -> Intent:
    serving = backend.champion(present.model_name)
    return Intent(
        kind="roll-back",
        model_name=present.model_name,
        by="tunegate rollback",
        began_at=time.time(),
        serving_target=present.serving_target,
        to_deployment=spec.name,
        to_version=target.version,
        to_spec=spec,
        from_deployment=serving.name if serving else "",
        from_version=present.version,
        previous_version=target.version,
    )


def _spec_of(target: model_registry.RegisteredAdapter) -> ServingSpec:
    if not target.serving_spec:
        raise TunegateError(
            f"{target.model_name} version {target.version} can't be brought back: "
            "the registry does not say how it was served; release it again with `tunegate run`"
        )
    spec = ServingSpec.model_validate_json(target.serving_spec)
    if spec.adapter_digest != target.adapter_digest:
        raise DigestMismatch(
            f"{target.model_name} version {target.version}: it was served with {spec.adapter_digest}, "
            f"but {target.adapter_digest} is registered"
        )
    return spec
