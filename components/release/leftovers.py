"""What releases that were killed have left: settled, and retired."""

from collections.abc import Callable, Collection

from components.release.move import takes_traffic
from components.release.settling import LOOK_WAIT_S, retire, settle_left, settled_lease
from components.serve.lease import LeaseTaken
from components.serve.spec import deployment_name
from components.serve.targets import serving_backend
from components.tracking import model_registry, runs

WHAT = "the clean-up before a release"


def settle_target(serving_target: str, what: str, say: Callable[[str], None]) -> None:
    """Finish or take back whatever was stopped half-way with a model that we know of.

    Args:
        serving_target: Where.
        what: What comes next, in words.
        say: Called with one line a step.
    """
    backend, client = serving_backend(serving_target), runs.client()
    names = {spec.model_name for spec in backend.deployments()} if serving_target == "local" else set()
    for name in sorted(names | set(model_registry.released_names(client))):
        settle_left(backend, client, name, what, say)


def retire_left(serving_target: str, releases: Collection[str], say: Callable[[str], None]) -> None:
    """Settle what was stopped half-way, then retire every candidate; champions go on serving.

    Args:
        serving_target: Where. A cluster is shared: there, only what is known to be ours is touched.
        releases: Those of this state directory.
        say: Called with one line a step.
    """
    settle_target(serving_target, WHAT, say)
    backend, client = serving_backend(serving_target), runs.client()
    for spec in backend.deployments():
        own = {deployment_name(spec.model_name, release) for release in releases}
        if (serving_target != "local" and spec.name not in own) or takes_traffic(
            backend, spec.model_name, spec.name
        ):
            continue
        try:
            with settled_lease(backend, client, spec.model_name, WHAT, say, LOOK_WAIT_S) as lease:
                if not takes_traffic(backend, spec.model_name, spec.name):
                    retire(backend, client, lease, spec, WHAT, say)
        except LeaseTaken as error:  # somebody moves the traffic just now, perhaps to this very one
            say(str(error))
