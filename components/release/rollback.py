"""Bring the champion before the present one back."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from components.errors import DigestMismatch, TunegateError
from components.release.traffic import switch_traffic
from components.serve.backend import Backend
from components.serve.narration import narrator
from components.serve.spec import ServingSpec
from components.serve.targets import serving_backend
from components.tracking import model_registry, runs


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
    It happens where the present champion is served.

    Args:
        model_name: Which model.
        ready_timeout_s: Longest wait for the previous champion to be ready.
        say: Called with one line a step.

    Raises:
        TunegateError: There is no previous champion, or it does not become ready; nothing was changed.
        DigestMismatch: Its image holds another adapter than the registry says; nothing was changed.
    """
    started = time.monotonic()
    client = runs.client()
    present = model_registry.champion(client, model_name)
    target = model_registry.previous(client, model_name)
    if present is None or target is None or present.version == target.version:
        known = f"version {present.version} is its only champion so far" if present else "it has no champion"
        raise TunegateError(f"{model_name} can't be rolled back: {known}; `tunegate run` makes a release")
    backend, spec = serving_backend(present.serving_target), _spec_of(target)
    serving = backend.champion(model_name)
    _deploy(backend, spec, serving, ready_timeout_s, say)
    say(f"switch traffic to version {target.version}")
    try:
        switch_traffic(
            backend,
            client,
            spec,
            lambda: model_registry.set_champion(
                client, model_name, target.version, spec.model_dump_json(), present.serving_target
            ),
        )
    except BaseException:
        _retire_unless_serving(backend, spec)
        raise
    if serving is not None and serving.name != spec.name:
        say(f"retire {serving.name}")
        backend.retire(serving.name)
    rolled_back = RolledBack(
        model_name=model_name,
        from_version=present.version,
        to_version=target.version,
        endpoint=backend.live_endpoint(model_name),
        seconds=time.monotonic() - started,
    )
    say(f"version {target.version} of {model_name} serves at {rolled_back.endpoint}/v1")
    return rolled_back


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


def _deploy(
    backend: Backend,
    spec: ServingSpec,
    serving: ServingSpec | None,
    ready_timeout_s: float,
    say: Callable[[str], None],
) -> None:
    """Deploy beside what serves; on failure, nothing of the attempt is left."""
    say(f"deploy {spec.name} from {spec.image}")
    try:
        backend.apply(spec)
        seconds = backend.wait_ready(spec.name, ready_timeout_s, narrator(say))
        say(f"ready after {seconds:.0f} s")
    except BaseException:
        if serving is None or serving.name != spec.name:
            _retire_unless_serving(backend, spec)
        raise


def _retire_unless_serving(backend: Backend, spec: ServingSpec) -> None:
    champion = backend.champion(spec.model_name)
    if champion is None or champion.name != spec.name:
        backend.retire(spec.name)
