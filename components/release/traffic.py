"""Move live traffic and the registry's aliases together, or neither: step by step, what is intended first."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from components.errors import DigestMismatch, NotReady, TunegateError
from components.release.move import Move, retirement, takes_traffic
from components.release.undoing import take_back
from components.serve.lease import IntentKind, LeaseLost
from components.serve.narration import narrator
from components.tracking import model_registry

SWITCH, MOVE_ALIAS, RECORD = "switch traffic", "move alias", "record"


@dataclass(frozen=True)
class Step:
    """One step of a move.

    Attributes:
        name: What it does.
        do: Does it; a second time, it changes nothing.
        undone: Whether the whole move is taken back if it fails. After the alias has moved, none is.
        finished: Whether whoever comes after one that was stopped does it again.
    """

    name: str
    do: Callable[[Move], None]
    undone: bool = True
    finished: bool = True


def carry_out(move: Move) -> None:
    """Take all steps of a move; if one fails before the alias has moved, take back what was done.

    The lease is looked at before each step. Whoever has lost it leaves everything to whoever has it now.

    Raises:
        TunegateError: A step failed, or what was done could not be taken back.
        LeaseLost: Somebody else has taken the lease over.
    """
    _take(move, STEPS[move.intent.kind])


def finish(move: Move) -> None:
    """Take those steps of a move again that have an effect, after somebody was stopped at one of them."""
    _take(move, tuple(step for step in STEPS[move.intent.kind] if step.finished))


def _take(move: Move, steps: tuple[Step, ...]) -> None:
    for step in steps:
        move.lease.require_held()
        started = time.monotonic()
        try:
            step.do(move)
        except LeaseLost:
            raise
        except BaseException as error:
            if step.undone and move.lease.intent() == move.intent:
                _undo(move, error)
            raise
        move.took_s[step.name] = time.monotonic() - started


def _undo(move: Move, error: BaseException) -> None:
    try:
        # A candidate stays until its release is closed: the stage may be tried again.
        take_back(move, retire=move.intent.kind != "promotion")
    except Exception as second:
        raise TunegateError(f"{error}; and undoing the switch failed: {second}") from error


def _intend(move: Move) -> None:
    move.lease.intend(move.intent)


def _deploy(move: Move) -> None:
    spec = move.intent.to_spec
    if spec is None:
        raise TunegateError(f"{move.intent.to_deployment}: nobody knows how to deploy it")
    move.say(f"deploy {spec.name} from {spec.image}")
    move.backend.apply(spec)
    seconds = move.backend.wait_ready(spec.name, move.ready_timeout_s, narrator(move.say))
    move.say(f"ready after {seconds:.0f} s")


def _switch(move: Move) -> None:
    intent = move.intent
    move.say(f"{SWITCH} from {intent.from_deployment or 'nothing'} to {intent.to_deployment}")
    try:
        move.backend.promote(intent.to_deployment)
    except NotReady:
        # One that was stopped since it took the traffic still has it.
        if not takes_traffic(move.backend, intent.model_name, intent.to_deployment):
            raise
        move.say(f"{intent.to_deployment} has the traffic and is not ready; `tunegate up` serves it again")


def _move_alias(move: Move) -> None:
    intent = move.intent
    written = intent.to_spec.model_dump_json() if intent.to_spec else ""
    champion = model_registry.set_champion(
        move.client, intent.model_name, intent.to_version, written, intent.serving_target
    )
    wanted = intent.to_spec.adapter_digest if intent.to_spec else ""
    if champion.adapter_digest != wanted:
        raise DigestMismatch(
            f"the registry's champion of {intent.model_name} is {champion.adapter_digest}, wanted {wanted}"
        )


def _record(move: Move) -> None:
    move.record(move)


def _retire_former(move: Move) -> None:
    """Retire what served before; a move that is complete is not undone because this failed."""
    former = move.intent.from_deployment
    if former in ("", move.intent.to_deployment):
        return
    try:
        move.backend.retire(former)
    except (TunegateError, OSError) as error:
        move.left_behind = f"{former} could not be retired: {error}"
        move.say(f"{former} could not be retired and still runs: {error}")
    else:
        move.say(f"retired {former}")


def _retire(move: Move) -> None:
    move.backend.retire(move.intent.to_deployment)
    move.say(f"retired {move.intent.to_deployment}")


def _end(move: Move) -> None:
    """End the intent; what was left behind is what is intended next."""
    intent, left = move.intent, None
    if move.left_behind:
        left = retirement(intent.model_name, intent.from_deployment, intent.by)
    move.lease.intend(left)


_BEGIN, _FINISH = (
    Step("write the intent", _intend, finished=False),
    Step("end the intent", _end, undone=False),
)
_MOVED = (
    Step(RECORD, _record, undone=False),
    Step("retire the former", _retire_former, undone=False),
    _FINISH,
)
_TRAFFIC = (Step(SWITCH, _switch), Step(MOVE_ALIAS, _move_alias))

STEPS: dict[IntentKind, tuple[Step, ...]] = {
    "promotion": (_BEGIN, *_TRAFFIC, *_MOVED),
    "roll-back": (_BEGIN, Step("deploy", _deploy, finished=False), *_TRAFFIC, *_MOVED),
    "retirement": (
        Step("write the intent", _intend, undone=False, finished=False),
        Step("retire", _retire, undone=False),
        _FINISH,
    ),
}
