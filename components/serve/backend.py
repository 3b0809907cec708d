"""The whole contract between the graph and the place where a model is served."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

from components.serve.lease import WAIT_S, Lease, Unfinished
from components.serve.spec import ServingSpec

ReplicaState = Literal["starting", "ready", "stopped", "failed"]


@dataclass(frozen=True)
class Replica:
    """One copy of the engine."""

    name: str
    state: ReplicaState
    url: str


WaitProgress = Callable[[list[Replica]], None]


class Backend(ABC):
    """Runs deployments of adapters, side by side, and sends live traffic to one of them per model name."""

    @abstractmethod
    def check(self, model_name: str, base_model: str) -> None:
        """Refuse what would stop a release of a model from being deployed or promoted here.

        Args:
            model_name: The name that clients ask for.
            base_model: What it is trained on, which is on this machine or at the hub.

        Raises:
            InvalidInput: Everything that stands in the way and can be known beforehand.
        """

    @abstractmethod
    def apply(self, spec: ServingSpec) -> None:
        """Start what the spec describes beside whatever serves already; a second call changes nothing.

        Raises:
            DigestMismatch: The image holds another adapter than the spec names; nothing was started. Where
                replicas fetch it themselves, none serves, and `wait_ready` says so instead.
        """

    @abstractmethod
    def wait_ready(self, name: str, timeout_s: float, progress: WaitProgress | None = None) -> float:
        """Wait until every replica lists the adapter and has answered a completion; return the seconds.

        Args:
            name: The deployment.
            timeout_s: Longest wait.
            progress: Called now and then with the replicas as they stand.

        Raises:
            NotReady: Too late, or a replica keeps dying or refuses its adapter; with the end of its log.
        """

    @abstractmethod
    def endpoint(self, name: str) -> str:
        """Return the base URL (without `/v1`) of one deployment's router."""

    @abstractmethod
    def live_endpoint(self, model_name: str) -> str:
        """Return the base URL (without `/v1`) that stays the same from champion to champion."""

    @abstractmethod
    def deployments(self) -> list[ServingSpec]:
        """Return what is deployed, running or stopped."""

    @abstractmethod
    def replicas(self, name: str) -> list[Replica]:
        """Return the replicas of a deployment and their states."""

    @abstractmethod
    def kill_replica(self, name: str) -> str:
        """End one ready replica without warning, as a crash would, and return its name."""

    @abstractmethod
    def scale(self, name: str, replicas: int) -> None:
        """Set the number of running replicas; 0 stops them all and keeps the deployment."""

    @abstractmethod
    def champion(self, model_name: str) -> ServingSpec | None:
        """Return the deployment that takes the live traffic."""

    @abstractmethod
    def promote(self, name: str) -> None:
        """Send the live traffic of the deployment's model name to it; requests in flight are finished.

        What served before keeps running until it is retired.
        """

    @abstractmethod
    def restore(self, model_name: str, timeout_s: float) -> None:
        """Bring the champion of a model name back after it was stopped.

        Raises:
            TunegateError: Nothing was promoted under this name.
            InvalidInput: Somebody else has taken the place of the live endpoint.
            NotReady: The champion did not become ready.
        """

    @abstractmethod
    def retire(self, name: str) -> None:
        """Stop a deployment and leave nothing of it behind; one that is not there is no error.

        Raises:
            TunegateError: It takes the live traffic.
        """

    @abstractmethod
    def withdraw(self, model_name: str) -> None:
        """Take the live traffic of a model name from whatever has it; then nothing serves under that name."""

    @abstractmethod
    def lease(
        self, model_name: str, holder: str, say: Callable[[str], None], wait_s: float = WAIT_S
    ) -> AbstractContextManager[Lease]:
        """Hold the right to move the live traffic of a model name; one at a time has it.

        Args:
            model_name: Whose traffic.
            holder: Who wants it, in words that others are told.
            say: Called with one line whenever somebody else is waited for.
            wait_s: Longest wait.

        Raises:
            LeaseTaken: Somebody else has it still.
        """

    @abstractmethod
    def unfinished(self, model_name: str) -> Unfinished | None:
        """Return what was begun with a model's traffic and is not over; to look is in nobody's way."""
