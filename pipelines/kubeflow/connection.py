"""Reach the Kubeflow Pipelines back end: address, credentials, and what an answer means."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import InvalidInput, TunegateError
from components.web import shown
from pipelines.kubeflow.settings import PREFIX, ClientSettings

if TYPE_CHECKING:
    from kfp_server_api import Configuration

TIMEOUT_S = (10, 60)  # to connect, to answer
READ_TRIES, BACKOFF_S = 4, 0.5
ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# What the back end itself checks is a token for its own audience, where one is projected into the pod.
ACCOUNT_TOKENS = (Path("/var/run/secrets/kubeflow/pipelines/token"), ACCOUNT_FOLDER / "token")
SERVICE = "http://ml-pipeline.{namespace}.svc:8888"
PROXY = "api/v1/namespaces/{namespace}/services/ml-pipeline:http/proxy"
UI_FORWARD = "http://localhost:8080"


class NotThere(TunegateError):
    """The back end does not have what was asked for."""


class Unavailable(TunegateError):
    """The back end can't be reached or fails; a later try may work."""


class Connection:
    """The generated client of the back end's API, with errors that say what to do.

    Attributes:
        runs, recurring, pipelines, uploads, experiments: The services of `kfp_server_api`.
        host: The address that is spoken to, as anybody may read it.
    """

    def __init__(self, settings: ClientSettings) -> None:
        import kfp_server_api as api

        self.settings = settings
        self._configuration = _configuration(settings)
        self.host = shown(str(self._configuration.host))
        client = api.ApiClient(self._configuration)
        self.runs, self.recurring = api.RunServiceApi(client), api.RecurringRunServiceApi(client)
        self.pipelines, self.uploads = api.PipelineServiceApi(client), api.PipelineUploadServiceApi(client)
        self.experiments = api.ExperimentServiceApi(client)

    def call(self, what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Ask the back end for something.

        Args:
            what: What is asked for, as an error names it: "run 42".
            function: A function of one of the services.
            arguments: For it.
            named: For it; those that are None or empty are left out.

        Raises:
            NotThere: There is no such thing.
            Unavailable: The back end can't be reached or fails.
            TunegateError: It refuses the credentials or what was asked.
        """
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        given = {name: value for name, value in named.items() if value not in (None, "")}
        renewable = self._configuration.refresh_api_key_hook is not None
        try:
            try:
                return function(*arguments, **given, _request_timeout=TIMEOUT_S)
            except ApiException as error:
                if error.status != 401 or not renewable:
                    raise
                # The token was renewed just now: what is read for the second try is another one.
                return function(*arguments, **given, _request_timeout=TIMEOUT_S)
        except ApiException as error:
            raise self._refused(what, error.status, _said(error.body)) from error
        except HTTPError as error:
            raise Unavailable(
                f"Kubeflow Pipelines at {self.host} can't be reached ({_cause(error)}); "
                f"is {PREFIX}HOST right, and is the way there open?"
            ) from error

    def run_url(self, run_id: str) -> str:
        """Return the page of a run."""
        return f"{self._ui()}/#/runs/details/{run_id}"

    def recurring_url(self, recurring_run_id: str) -> str:
        """Return the page of a recurring run."""
        return f"{self._ui()}/#/recurringrun/details/{recurring_run_id}"

    @property
    def ui_hint(self) -> str:
        """How the UI is reached where no address is known; empty where one is."""
        if self.settings.ui or self.settings.host:
            return ""
        return f"kubectl port-forward -n {self.settings.system_namespace} svc/ml-pipeline-ui 8080:80"

    def _ui(self) -> str:
        return shown((self.settings.ui or self.settings.host or UI_FORWARD).rstrip("/"))

    def _refused(self, what: str, status: int, said: str) -> TunegateError:
        namespace = self.settings.namespace
        if status == 401:
            return TunegateError(
                f"{self.host} does not take the token ({said}): it is wrong or has expired; renew "
                f"{PREFIX}TOKEN, or name a file that is kept fresh with {PREFIX}TOKEN_FILE"
            )
        if status == 403:
            where = f" in namespace {namespace!r}" if namespace else ""
            return TunegateError(
                f"{what}: not allowed{where} ({said}); is {PREFIX}NAMESPACE an existing namespace of yours?"
            )
        if status == 404 and '"ml-pipeline" not found' in said:
            return TunegateError(
                f"no Kubeflow Pipelines in namespace {self.settings.system_namespace!r} of this cluster; "
                f"{PREFIX}SYSTEM_NAMESPACE names the one that it is installed in"
            )
        if status == 404:
            return NotThere(f"{what}: not found at {self.host} ({said})")
        if status == 400 and "namespace" in said.lower() and not namespace:
            return TunegateError(f"{what}: {said}; name the namespace of your runs with {PREFIX}NAMESPACE")
        if status >= 500:
            return Unavailable(
                f"{what}: Kubeflow Pipelines failed with {status} ({said}); try again, or look into the log "
                f"of its API server: kubectl logs -n {self.settings.system_namespace} deploy/ml-pipeline"
            )
        return TunegateError(f"{what}: refused with {status} ({said})")


def _configuration(settings: ClientSettings) -> "Configuration":
    import kfp_server_api as api
    import urllib3

    configuration = api.Configuration()
    configuration.discard_unknown_keys = True
    configuration.retries = urllib3.Retry(
        total=READ_TRIES,
        backoff_factor=BACKOFF_S,
        status_forcelist=[500, 502, 503, 504],
        allowed_methods={"GET"},  # a run that is created twice would deploy twice
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
        if not settings.host.startswith(("http://", "https://")):
            raise InvalidInput(
                f"{PREFIX}HOST", [f"got {shown(settings.host)!r}, wanted http://... or https://..."]
            )
        configuration.host = settings.host.rstrip("/")
    elif ACCOUNT_FOLDER.is_dir():
        configuration.host = SERVICE.format(namespace=settings.system_namespace)
        file = file or next((path for path in ACCOUNT_TOKENS if path.is_file()), None)
    else:
        _through_kubeconfig(configuration, settings)
    if token:
        configuration.api_key["authorization"] = token
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
        except OSError as error:
            raise InvalidInput(
                f"{PREFIX}TOKEN_FILE {path}", [f"could not be read: {error.strerror}"]
            ) from error
        configuration.api_key["authorization"] = token

    return read


def _said(body: Any) -> str:
    """Return what the back end gave as its reason."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        answer = json.loads(text)
    except ValueError:
        return " ".join(text.split())[:200] or "no reason given"
    reason = answer.get("message") or answer.get("error") if isinstance(answer, dict) else text
    return " ".join(str(reason or text).split())[:300]


def _cause(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {reason}" if not str(reason) else str(reason).rpartition(": ")[2]
