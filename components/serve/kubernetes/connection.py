"""The way to the API server: found as kubectl finds it, and no request without a time limit."""

import os
from pathlib import Path
from typing import Any

from components.errors import InvalidInput

CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S = 10, 30


def connect() -> Any:
    """Return a dynamic client of the cluster of KUBECONFIG, of ~/.kube/config, or of our own pod.

    Raises:
        InvalidInput: None of them names a cluster.
    """
    import yaml
    from kubernetes.config import ConfigException

    named = os.environ.get("KUBECONFIG", "")
    unusable = (ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, AttributeError)
    try:
        return _client(named)
    except unusable as error:  # the package takes the file to be as it should
        why = " ".join(str(error).split())
        problem = f"no cluster is named ({why}); set KUBECONFIG to the file that kubectl uses"
        raise InvalidInput(f"KUBECONFIG {named!r}", [problem]) from error


def _client(kubeconfig: str) -> Any:
    """Return a client whose requests all have a time limit; DynamicClient gives its first ones none."""
    from kubernetes import client, config, dynamic

    class Client(dynamic.DynamicClient):  # type: ignore[misc]  # it has no types
        def request(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
            limits = CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S
            return super().request(method, path, body, _request_timeout=limits, **params)

    configuration = client.Configuration()
    configuration.retries = 0  # Cluster asks again
    if kubeconfig or Path("~/.kube/config").expanduser().is_file():
        config.load_kube_config(kubeconfig or None, client_configuration=configuration)
    else:
        config.load_incluster_config(configuration)
    return Client(client.ApiClient(configuration))
