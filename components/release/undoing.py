"""Take back what was moved: the traffic first, then the registry's aliases."""

from components.errors import NotReady
from components.release.move import Move, takes_traffic
from components.tracking import model_registry


def take_back(move: Move, retire: bool) -> None:
    """Give traffic and aliases back to what had them before a move, and end its intent.

    Args:
        move: What is taken back.
        retire: Whether what was to take the traffic goes, too.

    Raises:
        TunegateError: What had the traffic can't take it; the intent stands.
    """
    intent = move.intent
    move.lease.require_held()
    _give_back(move)
    move.lease.require_held()
    _restore_aliases(move)
    if retire:
        move.lease.require_held()
        _retire_unless_live(move)
    move.lease.intend(None)
    move.say(f"the {intent.kind} of {intent.to_deployment} was taken back")


def _give_back(move: Move) -> None:
    """Send the traffic to what had it; also where it seems to be there: the switch may have got half-way."""
    backend, intent = move.backend, move.intent
    live = backend.champion(intent.model_name)
    if live is not None and live.name not in (intent.from_deployment, intent.to_deployment):
        return  # somebody has sent it elsewhere
    if not intent.from_deployment and intent.proved:
        backend.withdraw(intent.model_name)
        return
    if intent.from_deployment not in {spec.name for spec in backend.deployments()}:
        if live is None:
            return
        move.say(
            f"{live.name} takes the live traffic of {intent.model_name} but is not the registry's champion, "
            "and nothing is deployed that could take it instead: `tunegate rollback`, or run again"
        )
        return
    try:
        backend.promote(intent.from_deployment)
    except NotReady as error:
        if live is None or live.name != intent.from_deployment:
            raise
        move.say(f"{intent.from_deployment} keeps the traffic, though it is not ready: {error}")
    else:
        move.say(f"traffic went back to {intent.from_deployment}")


def _restore_aliases(move: Move) -> None:
    """Give back those aliases that the move has taken; others may have moved since."""
    client, intent = move.client, move.intent
    champion = model_registry.champion(client, intent.model_name)
    previous = model_registry.previous(client, intent.model_name)
    before = {
        model_registry.PREVIOUS: (previous, intent.from_version, intent.previous_version),
        model_registry.CHAMPION: (champion, intent.to_version, intent.from_version),
    }
    for alias, (now, taken, wanted) in before.items():
        if now is None or now.version != taken or taken == wanted:
            continue
        if wanted:
            client.set_registered_model_alias(intent.model_name, alias, wanted)
        else:
            client.delete_registered_model_alias(intent.model_name, alias)


def _retire_unless_live(move: Move) -> None:
    if not takes_traffic(move.backend, move.intent.model_name, move.intent.to_deployment):
        move.backend.retire(move.intent.to_deployment)
