"""Close a release, however it ended: clean up, say in MLflow how it ended, write the card."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from components import progress
from components.errors import TunegateError
from components.release.card.facts import Serving
from components.release.ending import outcome_so_far, what_serves, write_ending
from components.release.move import Move, takes_traffic
from components.release.settling import deployments_of, retire, settle, settled_lease
from components.serve.backend import Backend
from components.serve.lease import Intent, Lease
from components.serve.targets import serving_backend
from components.settings import home
from components.tracking import model_registry, runs
from components.tracking.stage import end_abandoned

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGE = "close"


def close(serving_target: str, model_name: str, card_path: Path) -> None:
    """Retire what is left of the release unless it serves, end its MLflow run and write its card.

    A promotion of it that was stopped half-way is finished or taken back first; then it has ended as that
    went. A second call changes nothing. What goes wrong with the clean-up stands on the card and in the log
    and is not raised: how the release itself ended must not be hidden by it.

    Args:
        serving_target: Where the candidate may be deployed.
        model_name: The model that the release is of.
        card_path: Where the card is written; also kept with the parent run and in the state directory.
    """
    release, client = runs.release_id(), runs.client()
    progress.report(STAGE, "started", "")
    end_abandoned(client, release)
    problems, serving = _settle(client, serving_target, model_name, release)
    # In the state directory last: whoever started the release closes it again as long as it is not there.
    cards = [card_path, home() / "releases" / release / "card.html"]
    ended = write_ending(client, release, model_name, serving, problems, cards)
    progress.report(STAGE, "finished", f"{ended.ending}: {ended.why}")


def _say(text: str) -> None:
    progress.report(STAGE, "step", text)


def _settle(
    client: "MlflowClient", serving_target: str, model_name: str, release: str
) -> tuple[list[str], Serving | None]:
    """Settle and retire what the release left behind; return what went wrong and what serves now."""
    problems: list[str] = []

    def note(text: str) -> None:
        problems.append(text)
        _say(text)

    try:
        backend = serving_backend(serving_target)
        left = backend.unfinished(model_name)
        is_left = left is not None and (left.intent.release == release or not left.holder)
        if is_left or deployments_of(backend, release):
            what = f"the close of release {release}"
            try:
                with settled_lease(backend, client, model_name, what, note) as lease:
                    if lease.intent() is None:
                        intent = _unwritten(client, backend, serving_target, model_name, release)
                        if intent is not None:
                            settle(Move(backend, client, lease, intent, note))
                    _retire_unless_live(client, backend, lease, release, what, note)
            except TunegateError as error:
                note(str(error))
        return problems, what_serves(client, backend, model_name)
    except Exception as error:  # whatever it is, it must not hide how the release ended
        note(f"The clean-up failed: {type(error).__name__}: {error}")
        return problems, None


def _unwritten(
    client: "MlflowClient", backend: Backend, serving_target: str, model_name: str, release: str
) -> Intent | None:
    """Return what must have been intended where a release has the traffic and nothing says that it may.

    Its proof is not known, so it stays only if it is the registry's champion, too.
    """
    live, own = backend.champion(model_name), {spec.name for spec in deployments_of(backend, release)}
    if live is None or live.name not in own or outcome_so_far(client, release).ending == "promoted":
        return None
    champion = model_registry.champion(client, model_name)
    if champion is not None and champion.adapter_digest == live.adapter_digest:
        champion = model_registry.previous(client, model_name)
    served = {spec.model_dump_json(): spec.name for spec in backend.deployments() if spec.name != live.name}
    registered = model_registry.version_of(client, model_name, live.image)
    return Intent(
        kind="promotion",
        model_name=model_name,
        by=f"release {release}",
        release=release,
        began_at=time.time(),
        serving_target=serving_target,
        to_deployment=live.name,
        to_version=registered.version if registered else "",
        to_spec=live,
        from_deployment=served.get(champion.serving_spec, "") if champion else "",
        proved=False,
    )


def _retire_unless_live(
    client: "MlflowClient",
    backend: Backend,
    lease: Lease,
    release: str,
    what: str,
    note: Callable[[str], None],
) -> None:
    for spec in deployments_of(backend, release):
        if takes_traffic(backend, spec.model_name, spec.name):
            continue
        try:
            retire(backend, client, lease, spec, what, _say)
        except (TunegateError, OSError) as error:
            note(f"{spec.name} could not be retired and may still run: {error}")
