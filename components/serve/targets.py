"""Which back end serves a target."""

from components.errors import InvalidInput
from components.serve.backend import Backend


def serving_backend(target: str) -> Backend:
    """Return the back end of a serving target.

    Raises:
        InvalidInput: There is no such target.
    """
    if target == "local":
        from components.serve.local.backend import LocalBackend

        return LocalBackend()
    if target == "kubernetes":
        from components.serve.kubernetes.backend import KubernetesBackend

        return KubernetesBackend()
    raise InvalidInput("serving_target", [f"got {target!r}, wanted 'local' or 'kubernetes'"])
