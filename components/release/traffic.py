"""Move live traffic and the registry's aliases together, or neither."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from components.errors import DigestMismatch, TunegateError
from components.serve.backend import Backend
from components.serve.spec import ServingSpec
from components.tracking import model_registry

if TYPE_CHECKING:
    from mlflow import MlflowClient


def switch_traffic(
    backend: Backend, client: "MlflowClient", spec: ServingSpec, move_alias: Callable[[], object]
) -> None:
    """Send live traffic to a deployment, then move the alias and verify it; if that fails, undo both.

    Where nothing served before, there is nothing to go back to, and the deployment keeps the traffic.

    Raises:
        TunegateError: The alias was not moved, or what was undone could not be undone.
        DigestMismatch: The alias names another adapter after it was moved.
    """
    former, aliases = backend.champion(spec.model_name), _aliases(client, spec.model_name)
    try:
        backend.promote(spec.name)
        move_alias()
        _require_champion(client, spec)
    except BaseException as error:
        try:
            if former is not None and former.name != spec.name:
                backend.promote(former.name)
            _restore(client, spec.model_name, aliases)
        except Exception as second:
            raise TunegateError(f"{error}; and undoing the switch failed: {second}") from error
        raise


def _aliases(client: "MlflowClient", model_name: str) -> dict[str, str]:
    """Return the versions that the champion's and the previous champion's alias name."""
    named = {
        model_registry.CHAMPION: model_registry.champion(client, model_name),
        model_registry.PREVIOUS: model_registry.previous(client, model_name),
    }
    return {alias: adapter.version for alias, adapter in named.items() if adapter is not None}


def _restore(client: "MlflowClient", model_name: str, before: dict[str, str]) -> None:
    now = _aliases(client, model_name)
    for alias in (model_registry.CHAMPION, model_registry.PREVIOUS):
        if alias in before and now.get(alias) != before[alias]:
            client.set_registered_model_alias(model_name, alias, before[alias])
        elif alias in now and alias not in before:
            client.delete_registered_model_alias(model_name, alias)


def _require_champion(client: "MlflowClient", spec: ServingSpec) -> None:
    found = model_registry.champion(client, spec.model_name)
    if found is None or found.adapter_digest != spec.adapter_digest:
        raise DigestMismatch(
            f"the registry's champion of {spec.model_name} is "
            f"{found.adapter_digest if found else 'not set'}, wanted {spec.adapter_digest}"
        )
