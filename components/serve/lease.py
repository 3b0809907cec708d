"""Who moves the live traffic of a model name, and what they have begun to move it to."""

import os
import socket
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from components.errors import InvalidInput, TunegateError
from components.serve.spec import ServingSpec

# A roll-back deploys while it holds the lease, which takes minutes; a release that has come this far waits.
WAIT_S = 900

IntentKind = Literal["promotion", "roll-back", "retirement"]


class LeaseTaken(TunegateError):
    """Somebody else moves the traffic of the same model name."""


class LeaseLost(TunegateError):
    """Somebody else has taken a lease over: nothing may be moved any more."""


class Intent(BaseModel):
    """What is about to be moved, written down before anything is.

    Attributes:
        kind: A promotion, a roll-back, or the retirement of a deployment that takes no traffic.
        model_name: Whose traffic.
        by: Who began, in words.
        release: Whose promotion it is; empty for all else.
        began_at: Seconds since the epoch.
        serving_target: Where it happens.
        to_deployment: What is to take the traffic; of a retirement: what is to go.
        to_version: Its version in the registry.
        to_spec: As what it is registered with that version.
        from_deployment: What has taken the traffic so far; empty: nothing here.
        from_version: The registry's champion so far; empty: none.
        previous_version: The champion before that; empty: none.
        proved: Whether all verdicts were passed; not so if the intent was guessed from what stands.
    """

    model_config = ConfigDict(frozen=True)

    kind: IntentKind
    model_name: str
    by: str
    release: str = ""
    began_at: float
    serving_target: str = ""
    to_deployment: str
    to_version: str = ""
    to_spec: ServingSpec | None = None
    from_deployment: str = ""
    from_version: str = ""
    previous_version: str = ""
    proved: bool = True

    @model_validator(mode="after")
    def _is_of_one_deployment(self) -> Self:
        spec = self.to_spec
        if spec is not None and (spec.name, spec.model_name) != (self.to_deployment, self.model_name):
            raise ValueError(
                f"to_spec is of {spec.name} of {spec.model_name}, wanted that of {self.to_deployment} of "
                f"{self.model_name}"
            )
        return self


@dataclass(frozen=True)
class Unfinished:
    """An intent that stands.

    Attributes:
        intent: What was begun.
        holder: Who is at it now; empty: nobody, it was stopped half-way.
    """

    intent: Intent
    holder: str


class Lease(ABC):
    """The right to move the traffic of one model name, and the champion's alias with it."""

    @abstractmethod
    def require_held(self) -> None:
        """Make sure that it is still ours, and stays so for long enough to move one thing.

        Raises:
            LeaseLost: Somebody else has taken it over meanwhile.
        """

    @abstractmethod
    def intent(self) -> Intent | None:
        """Return what was begun under this lease, or under one before it, and is not over."""

    @abstractmethod
    def intend(self, intent: Intent | None) -> None:
        """Write down what is to be moved, so that it outlives us; nothing: it is over.

        Raises:
            LeaseLost: Somebody else has taken the lease over meanwhile; nothing was written.
        """


def read_intent(written: str | bytes, model_name: str, where: str) -> Intent:
    """Read an intent as it was written down.

    Args:
        written: JSON.
        model_name: Whose lease it stands under; it may move nothing else.
        where: Where it stands, in words.

    Raises:
        InvalidInput: It is no intent, or one for another model.
    """
    hint = "see which deployment takes the traffic, delete this, and run again"
    try:
        intent = Intent.model_validate_json(written)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])) or 'what is intended'}: {e['msg']}; {hint}"
            for e in error.errors()
        ]
        raise InvalidInput(where, problems) from error
    if intent.model_name != model_name:
        problem = f"model_name: got {intent.model_name!r}, wanted {model_name!r}; {hint}"
        raise InvalidInput(where, [problem])
    return intent


def holder_words(what: str) -> str:
    """Return what others are told of who holds a lease: what it does and where it runs, a pod say."""
    return f"{what} (process {os.getpid()} on {socket.gethostname()})"


def waits_for(model_name: str, holder: str) -> str:
    """Return what is said while a lease is waited for."""
    return f"waiting for {holder or 'another command'}, which moves the traffic of {model_name}"


def taken(model_name: str, holder: str, waited_s: float) -> LeaseTaken:
    """Return the refusal of whoever has waited long enough."""
    return LeaseTaken(
        f"the traffic of {model_name} is being moved by {holder or 'another command'}, which was waited for "
        f"{waited_s:.0f} s: nothing was changed; run this again when that has ended"
    )
