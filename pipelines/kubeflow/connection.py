"""Speak with the Kubeflow Pipelines back end: what it is asked, and what an answer means."""

import json
from collections.abc import Callable
from typing import Any

from components.errors import TunegateError
from components.web import quoted, shown
from pipelines.kubeflow.address import client_configuration
from pipelines.kubeflow.settings import PREFIX, ClientSettings

TIMEOUT_S = (10, 60)  # to connect, to answer
UI_FORWARD = "http://localhost:8080"


class NotThere(TunegateError):
    """The back end does not have what was asked for."""


class Unavailable(TunegateError):
    """The back end can't be reached or fails; a later try may work."""


class _OddAnswer(Exception):
    """What came back is no answer of this API."""


class Connection:
    """The generated client of the back end's API, with errors that say what to do.

    Attributes:
        runs, recurring, pipelines, uploads, experiments: The services of `kfp_server_api`.
        host: The address that is spoken to, as anybody may read it.
    """

    def __init__(self, settings: ClientSettings) -> None:
        import kfp_server_api as api

        self.settings = settings
        self._configuration = client_configuration(settings)
        self.host = shown(str(self._configuration.host))
        self._client = client = api.ApiClient(self._configuration)
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
            Unavailable: The back end can't be reached, fails, or what answers is none.
            TunegateError: It refuses the credentials or what was asked.
        """
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        given = {name: value for name, value in named.items() if value not in (None, "")}
        renewable = self._configuration.refresh_api_key_hook is not None
        try:
            try:
                return self._answer(function, *arguments, **given)
            except ApiException as error:
                if error.status != 401 or not renewable:
                    raise
                # The token was renewed just now: what is read for the second try is another one.
                return self._answer(function, *arguments, **given)
        except ApiException as error:
            if 300 <= error.status < 400:
                raise self._sent_away(what, error) from error
            raise self._refused(what, error.status, _said(error.body)) from error
        except _OddAnswer as error:
            raise Unavailable(
                f"{what}: what answers at {self.host} is not the API of Kubeflow Pipelines; "
                f"{PREFIX}HOST is its address, not that of a page before it"
            ) from error
        except HTTPError as error:
            raise Unavailable(
                f"Kubeflow Pipelines at {self.host} can't be reached ({_cause(error)}); "
                f"is {PREFIX}HOST right, and is the way there open?"
            ) from error

    def _answer(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Ask once; the generated client takes what is no JSON for an object without anything in it.

        Raises:
            _OddAnswer: It is no object, or not of the form that the API has.
        """
        from kfp_server_api import ApiException

        try:
            answer = function(*arguments, **named, _request_timeout=TIMEOUT_S)
            if not isinstance(json.loads(self._client.last_response.data), dict):
                raise _OddAnswer
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise _OddAnswer from error
        except ApiException as error:
            if not error.status:  # the client's own word for a time that is none
                raise _OddAnswer from error
            raise
        return answer

    def _sent_away(self, what: str, error: Any) -> TunegateError:
        """Say where a redirect leads: the token would go with it, so it is not followed."""
        location = next((value for name, value in error.headers.items() if name.lower() == "location"), "")
        return TunegateError(
            f"{what}: {self.host} answers with {error.status} and sends on to {quoted(shown(location))!r}, "
            "which is not followed, as the token is for this host. If that is a page to sign in, set "
            f"{PREFIX}TOKEN or {PREFIX}TOKEN_FILE; if the API has moved, name its address in {PREFIX}HOST"
        )

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
        return self.settings.ui or self.settings.host or UI_FORWARD

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


def _said(body: Any) -> str:
    """Return what the back end gave as its reason."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return quoted(text, 200) or "no reason given"
    reason = answer.get("message") or answer.get("error") if isinstance(answer, dict) else text
    return quoted(str(reason or text))


def _cause(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {reason}" if not str(reason) else str(reason).rpartition(": ")[2]
