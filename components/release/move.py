"""What is moved with a model's traffic, under its lease."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.serve.backend import Backend
from components.serve.lease import Intent, Lease

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass
class Move:
    """An intent that is being carried out, under the lease of its model name.

    Attributes:
        backend: Where the model is served.
        client: Of the registry.
        lease: What allows it.
        intent: What is moved.
        say: Called with one line a step.
        record: Keeps how it went, once traffic and alias have moved.
        ready_timeout_s: Longest wait for what a roll-back deploys.
        took_s: How long each step took, by name.
        left_behind: Why the former deployment could not be retired; empty if it could.
    """

    backend: Backend
    client: "MlflowClient"
    lease: Lease
    intent: Intent
    say: Callable[[str], None]
    record: Callable[["Move"], None] = lambda move: None
    ready_timeout_s: float = 0.0
    took_s: dict[str, float] = field(default_factory=dict)
    left_behind: str = ""


def retirement(model_name: str, deployment: str, by: str) -> Intent:
    """Return the intent to retire a deployment that takes no traffic."""
    return Intent(
        kind="retirement", model_name=model_name, by=by, began_at=time.time(), to_deployment=deployment
    )


def takes_traffic(backend: Backend, model_name: str, deployment: str) -> bool:
    """Return whether a deployment takes the live traffic of a model name."""
    live = backend.champion(model_name)
    return live is not None and live.name == deployment
