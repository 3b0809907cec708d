"""Where the Kubeflow Pipelines back end is, and how it is shown who asks."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from components.engine.api_keys import KEY
from components.errors import InvalidInput
from pipelines.kubeflow.settings import PREFIX, ClientSettings

if TYPE_CHECKING:
    from kfp_server_api import Configuration

READ_TRIES, BACKOFF_S = 4, 0.5
ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# What the back end itself checks is a token for its own audience, where one is projected into the pod.
ACCOUNT_TOKENS = (Path("/var/run/secrets/kubeflow/pipelines/token"), ACCOUNT_FOLDER / "token")
SERVICE = "http://ml-pipeline.{namespace}.svc:8888"
PROXY = "api/v1/namespaces/{namespace}/services/ml-pipeline:http/proxy"


def client_configuration(settings: ClientSettings) -> "Configuration":
    """Return what the generated client is configured with.

    Raises:
        InvalidInput: No address is known, or a token can't be read.
    """
    import kfp_server_api as api
    import urllib3

    configuration = api.Configuration()
    configuration.discard_unknown_keys = True
    configuration.retries = urllib3.Retry(
        total=READ_TRIES,
        backoff_factor=BACKOFF_S,
        status_forcelist=[500, 502, 503, 504],
        allowed_methods={"GET"},  # a run that is created twice would deploy twice
        redirect=False,  # another host is not whom the token and the package are for
        raise_on_status=False,
    )
    if settings.ca_file:
        configuration.ssl_ca_cert = str(settings.ca_file)
    _find(configuration, settings)
    return configuration


def _find(configuration: "Configuration", settings: ClientSettings) -> None:
    """Set address and credentials; an account's own token goes to its own cluster only."""
    token, file = settings.token.get_secret_value(), settings.token_file
    if settings.host:
        configuration.host = settings.host
    elif ACCOUNT_FOLDER.is_dir():
        configuration.host = SERVICE.format(namespace=settings.system_namespace)
        file = file or next((path for path in ACCOUNT_TOKENS if path.is_file()), None)
    else:
        _through_kubeconfig(configuration, settings)
    if token:
        configuration.api_key["authorization"] = _checked_token(token, f"{PREFIX}TOKEN")
        configuration.refresh_api_key_hook = None  # a kubeconfig's would bring its own token back
    elif file is not None:
        configuration.refresh_api_key_hook = _from_file(file)
        configuration.refresh_api_key_hook(configuration)
    if token or file is not None:
        configuration.api_key_prefix["authorization"] = "Bearer"


def _through_kubeconfig(configuration: "Configuration", settings: ClientSettings) -> None:
    import kubernetes

    try:
        kubernetes.config.load_kube_config(
            client_configuration=configuration, context=settings.context or None
        )
    except kubernetes.config.ConfigException as error:
        raise InvalidInput(
            "address of Kubeflow Pipelines",
            [
                f"{PREFIX}HOST is not set, and there is no kubeconfig to go through ({error}); "
                "give one of them"
            ],
        ) from error
    proxy = PROXY.format(namespace=settings.system_namespace)
    host = f"{configuration.host.rstrip('/')}/{proxy}"
    configuration.host = host
    renew = configuration.refresh_api_key_hook
    if renew is None:
        return

    def renew_token(configuration: "Configuration") -> None:
        renew(configuration)
        # It sets the address of the API server again, and itself.
        configuration.host, configuration.refresh_api_key_hook = host, renew_token

    configuration.refresh_api_key_hook = renew_token


def _from_file(path: Path) -> Callable[["Configuration"], None]:
    def read(configuration: "Configuration") -> None:
        try:
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise InvalidInput(f"{PREFIX}TOKEN_FILE {path}", [f"could not be read: {why}"]) from error
        configuration.api_key["authorization"] = _checked_token(token, f"{PREFIX}TOKEN_FILE {path}")

    return read


def _checked_token(token: str, what: str) -> str:
    if not KEY.fullmatch(os.fsencode(token)):
        raise InvalidInput(what, ["holds no token: a line break, a space or another sign that none has"])
    return token
