"""Which model is meant, and what is done with one that serves: asked, stopped, served again."""

from collections.abc import Callable
from contextlib import ExitStack

from components.errors import InvalidInput, TunegateError
from components.serve.backend import Backend
from components.serve.lease import holder_words
from components.serve.targets import serving_backend
from components.tracking import model_registry, runs


def only_model(model: str | None) -> str:
    """Return the named model, or the only one that was ever promoted here.

    Raises:
        InvalidInput: There is no such model, or several and none was named.
    """
    names = model_registry.champion_names(runs.client())
    if model is None and len(names) == 1:
        return names[0]
    if not names:
        raise TunegateError("nothing was promoted yet: start a release with `tunegate run`")
    if model not in names:
        raise InvalidInput("--model", [f"got {model!r}, wanted one of {', '.join(names)}"])
    return model


def champions_backend(model_name: str) -> Backend:
    """Return the back end on which a model's champion is served."""
    champion = model_registry.champion(runs.client(), model_name)
    return serving_backend(champion.serving_target if champion else "local")


def served_model(model: str | None) -> tuple[str, str]:
    """Return the live endpoint (without `/v1`) and the name of a model that is served.

    Raises:
        TunegateError: Nothing of that name is served.
    """
    name = only_model(model)
    backend = champions_backend(name)
    if backend.champion(name) is None:
        raise TunegateError(f"{name} is not being served: `tunegate up` starts it")
    return backend.live_endpoint(name), name


def serve_again(model: str | None, timeout_s: float, say: Callable[[str], None]) -> None:
    """Serve a model's champion again after it was stopped, wherever it is served.

    Args:
        model: Which one; needed only if there are several.
        timeout_s: Longest wait for it to be ready.
        say: Called with one line a step.

    Raises:
        TunegateError: Nothing of that name was promoted, or it does not become ready.
    """
    from components.release.leftovers import settle_target
    from components.release.settling import settled_lease

    settle_target("local", "tunegate up", say)
    name = only_model(model)
    backend = champions_backend(name)
    with settled_lease(backend, runs.client(), name, "tunegate up", say):
        backend.restore(name, timeout_s)
    say(f"{name} is served at {backend.live_endpoint(name)}/v1")


def stop_model(model: str, say: Callable[[str], None]) -> None:
    """Stop the replicas of a model's champion, wherever it is served; it stays the champion.

    Raises:
        TunegateError: Nothing of that name is served.
    """
    from components.release.settling import settled_lease

    name = only_model(model)
    backend = champions_backend(name)
    with settled_lease(backend, runs.client(), name, "tunegate down", say):
        serving = backend.champion(name)
        if serving is None:
            raise TunegateError(f"{name} is not being served")
        backend.scale(serving.name, 0)
    say(f"{name} is stopped; `tunegate up --model {name}` serves it again.")


def stop_everything(say: Callable[[str], None]) -> None:
    """Stop all that serves on this machine, when nobody moves the traffic of any of it."""
    from components.serve.local.backend import LocalBackend

    backend, who = LocalBackend(), holder_words("tunegate down")
    with ExitStack() as leases:
        for name in sorted({spec.model_name for spec in backend.deployments()}):
            leases.enter_context(backend.lease(name, who, say))
        backend.shutdown()
    say("Nothing of Tunegate runs on this machine any more; `tunegate up` serves the champion again.")
