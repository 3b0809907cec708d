"""Requests to one repository of a registry: signed in, with time limits, refusals put into words."""

import os
import re
from pathlib import Path
from typing import Any

import oras.container
import oras.logger
import oras.provider
import requests
from requests.adapters import HTTPAdapter

from components.errors import AccessRefused, InvalidInput, TunegateError
from components.settings import load_settings

TIMEOUT_S = (10, 120)  # to connect, between two bytes
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
DOCKER_CONFIGS = ("config.json", ".dockerconfigjson")
HUB, HUB_API, HUB_LOGIN = "docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"

oras.logger.setup_logger(quiet=True)  # what it would print is said in the errors below


class Unavailable(Exception):
    """The registry can't answer just now (5xx or 429)."""


class RegistryClient(oras.provider.Registry):  # type: ignore[misc]  # oras ships no types
    """oras for one repository, with its way of sending requests replaced.

    The original has no time limit and tries for two minutes with wrong credentials.

    Args:
        host: `host[:port]`.
        path: The repository's name within the registry.
    """

    def __init__(self, host: str, path: str) -> None:
        bare_host = re.sub(r":\d+$", "", host)
        insecure_hosts = {*LOOPBACK, *load_settings().insecure_registries.replace(" ", "").split(",")}
        super().__init__(hostname=host, insecure=bool({host, bare_host} & insecure_hosts))
        self.host, self._authorization = host, ""
        self.session.mount("http://", _Adapter())
        self.session.mount("https://", _Adapter())
        # A blob that is a .gz must not be unpacked on the way.
        self.headers = {"Accept-Encoding": "identity"}
        self.repository = oras.container.Container("name", registry=HUB_API if host == HUB else host)
        self.repository.namespace, _, self.repository.repository = path.rpartition("/")
        self._load_credentials(HUB_LOGIN if host == HUB else host)

    def manifest_url(self, tag_or_digest: str) -> str:
        """Return the address of a manifest."""
        return f"{self.prefix}://{self.repository.manifest_url(tag_or_digest)}"

    def do_request(
        self,
        url: str,
        method: str = "GET",
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        json: Any = None,
        stream: bool = False,
    ) -> requests.Response:
        """Send one request, signed in if the registry asks for it.

        Raises:
            Unavailable: The registry can't answer just now.
            AccessRefused: The registry wants other credentials.
            TunegateError: The registry refuses, with what to do about it.
        """

        def send() -> requests.Response:
            sent = {**self.headers, **(headers or {})}
            # An upload may go to another server, which has no business with the credentials.
            if self._authorization and url.startswith(f"{self.prefix}://{self.repository.registry}/"):
                sent["Authorization"] = self._authorization
            answer: requests.Response = self.session.request(
                method, url, data=data, json=json, headers=sent, stream=stream
            )
            return answer

        answer = send()
        if answer.status_code in (401, 403) and self._sign_in(answer):
            answer = send()
        if answer.status_code >= 400 and not (method == "HEAD" and answer.status_code == 404):
            self._refused(answer)
        return answer

    def _load_credentials(self, login: str) -> None:
        folder = os.environ.get("DOCKER_CONFIG")
        # The second is the key of a Kubernetes secret of docker's kind, where it is mounted as it is.
        named_by_folder = [Path(folder) / name for name in DOCKER_CONFIGS] if folder else []
        config = next((path for path in named_by_folder if path.is_file()), None)
        configs = [str(config)] if config else None
        named = oras.container.Container("name", registry=login)
        try:
            self.auth.load_configs(named, configs=configs)
        except (OSError, ValueError) as error:
            problem = f"could not be read ({error}); repair it, or `docker login {self.host}` again"
            raise InvalidInput(str(config or "~/.docker/config.json"), [problem]) from error

    def _sign_in(self, answer: requests.Response) -> bool:
        """Do what a 401 or 403 asks for; return whether there is something new to try."""
        challenge = answer.headers.get("Www-Authenticate", "")
        before = self._authorization
        if challenge.lower().startswith("basic"):
            credentials = getattr(self.auth, "_basic_auth", None)
            self._authorization = f"Basic {credentials}" if credentials else ""
        elif challenge.lower().startswith("bearer") and 'realm="http' in challenge:
            self.auth.token = None  # a token may be for reading only; ask for one with what is wanted now
            signed, _ = self.auth.authenticate_request(answer, {})
            self._authorization = signed.get("Authorization", "")
        return bool(self._authorization) and self._authorization != before

    def _refused(self, answer: requests.Response) -> None:
        status, place = answer.status_code, f"registry {self.host}"
        said = _said(answer)
        if status >= 500 or status == 429:
            raise Unavailable(said)
        if status == 401 and not hasattr(self.auth, "_basic_auth"):
            raise AccessRefused(f"{place}: asks for credentials ({said}); run `docker login {self.host}`")
        if status == 401:
            raise AccessRefused(
                f"{place}: refused the credentials of docker's config ({said}); "
                f"run `docker login {self.host}` again"
            )
        if status == 403:
            raise AccessRefused(
                f"{place}: this account may not do that in {self.repository.api_prefix} ({said}); "
                "ask for the permission, or name another image_repository"
            )
        if status == 404:
            problem = f"the registry has no such image or repository ({said}); check the name and push again"
            raise InvalidInput(f"{self.host}/{self.repository.api_prefix}", [problem])
        raise TunegateError(f"{place}: refused {answer.request.method} {answer.request.url} ({said})")


class _Adapter(HTTPAdapter):
    """Gives every request a time limit, those for tokens included."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request."""
        options["timeout"] = options.get("timeout") or TIMEOUT_S
        return super().send(request, **options)


def _said(answer: requests.Response) -> str:
    """Put an answer into words: the status and the registry's own messages."""
    status = f"{answer.status_code} {answer.reason}"
    try:
        errors = answer.json()["errors"]
        messages = [str(error.get("message") or error["code"]) for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError):
        return status
    return f"{status}: {'; '.join(messages)}"
