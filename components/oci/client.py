"""Requests to one repository of a registry: signed in, with limits, refusals put into words."""

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import oras.container
import oras.logger
import oras.provider
import requests

from components.errors import AccessRefused, InvalidInput, TunegateError
from components.oci.answers import discard, said
from components.oci.session import Session
from components.oci.sign_in import LOOPBACK, load_login, read_token, token_request
from components.settings import load_settings
from components.web import METADATA_REFUSED, Address, is_metadata_host, parse_address, quoted, shown

MAX_REDIRECTS = 5
REDIRECTS, REDIRECTS_AS_IT_IS = (301, 302, 303, 307, 308), (307, 308)
DOCKER_CONFIGS = ("config.json", ".dockerconfigjson")
HUB, HUB_API, HUB_LOGIN = "docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"

oras.logger.setup_logger(quiet=True)  # what it would print is said in the errors below


class Unavailable(Exception):
    """The registry can't answer just now (5xx or 429)."""


class RegistryClient(oras.provider.Registry):  # type: ignore[misc]  # oras ships no types
    """oras for one repository, with its way of sending requests replaced.

    The original has no time limit, tries for two minutes with wrong credentials, and shows them to whomever a
    registry leads to. Here they go to the registry's own scheme, host and port, and to its token server.

    Args:
        host: `host[:port]`.
        path: The repository's name within the registry.
        named_by_data: See `components.oci.registry.RegistryRepository`.

    Raises:
        InvalidInput: That is no host, or docker's config can't be read.
    """

    def __init__(self, host: str, path: str, named_by_data: bool = False) -> None:
        both = {host, re.sub(r":\d+$", "", host)}
        settings = load_settings()
        named = {*settings.insecure_registries.replace(" ", "").split(",")}
        self._plain_hosts = {*LOOPBACK, *named}
        super().__init__(hostname=host, insecure=bool(both & self._plain_hosts))
        self.host, self._authorization = host, ""
        # A blob that is a .gz must not be unpacked on the way.
        self.headers = {"Accept-Encoding": "identity"}
        self.repository = oras.container.Container("name", registry=HUB_API if host == HUB else host)
        self.repository.namespace, _, self.repository.repository = path.rpartition("/")
        self.address = parse_address(f"{self.prefix}://{self.repository.registry}/")
        self._login = load_login(host, HUB_LOGIN if host == HUB else host, _docker_config())
        is_known = bool(self._login or both & named)
        self.session = Session(settings.private_datasets if named_by_data and not is_known else None)

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

        Args:
            url: Where to; a place that the registry named is asked without credentials, unless it is the
                registry itself.
            method: How.
            data: What is sent.
            headers: Besides our own.
            json: What is sent, as JSON.
            stream: Whether the caller reads the answer, up to a limit of its own; else it is thrown away.

        Raises:
            Unavailable: The registry can't answer just now.
            AccessRefused: The registry wants other credentials.
            TunegateError: The registry refuses, with what to do about it.
        """
        sent = {"data": data, "json": json, "headers": {**self.headers, **(headers or {})}}
        address = parse_address(url)
        answer, answered = self._follow(method, address, sent)
        asked_for_more = answer.status_code in (401, 403) and answered.origin == self.address.origin
        if asked_for_more and self._sign_in(answer):
            answer.close()
            answer, answered = self._follow(method, address, sent)
        if answer.status_code >= 300 and not (method == "HEAD" and answer.status_code == 404):
            self._refuse(answer, answered)
        if not stream:
            discard(answer)
        return answer

    def place_of(self, answer: requests.Response) -> Address:
        """Return where an answer leads to.

        Raises:
            TunegateError: Nowhere, or off TLS.
        """
        return self._led_to(answer, parse_address(answer.url))

    def _get_location(self, r: requests.Response, container: oras.container.Container) -> str:
        """Return the address of an upload; oras calls this, and would join host and path unseen."""
        return str(self.place_of(r))

    def _check_200_response(self, response: requests.Response) -> None:
        """Take what do_request let through; oras calls this between the pieces of an upload."""

    def _follow(
        self, method: str, address: Address, sent: dict[str, Any]
    ) -> tuple[requests.Response, Address]:
        """Send a request and follow redirects, each asked with the credentials that are meant for it."""
        for _ in range(MAX_REDIRECTS + 1):
            # Anything else than this one origin has no business with the credentials.
            signed = {"Authorization": self._authorization} if self._authorization else {}
            headers = sent["headers"] | (signed if address.origin == self.address.origin else {})
            answer: requests.Response = self.session.request(
                method, str(address), **{**sent, "headers": headers}, stream=True
            )
            followed = REDIRECTS if method in ("GET", "HEAD") else REDIRECTS_AS_IT_IS
            if answer.status_code not in followed:
                return answer, address
            answer.close()
            address = self._led_to(answer, address)
        raise TunegateError(
            f"registry {self.host}: leads from one place to the next, {address.shown} the last"
        )

    def _led_to(self, answer: requests.Response, asked: Address) -> Address:
        place = answer.headers.get("Location", "")
        who = f"registry {self.host}: {asked.shown} answered {answer.status_code}"
        if not place:
            raise TunegateError(f"{who} without saying where to go on; look at its log")
        try:
            led_to = parse_address(urldefrag(urljoin(str(asked), place)).url)
        except ValueError as error:
            raise TunegateError(
                f"{who} and leads to {quoted(shown(place))!r}, which is no address"
            ) from error
        except InvalidInput as error:
            raise TunegateError(
                f"{who} and leads to {quoted(shown(place))!r}: {'; '.join(error.problems)}"
            ) from error
        if is_metadata_host(led_to.host):
            raise TunegateError(f"{who} and leads to {led_to.shown}, which {METADATA_REFUSED}")
        if asked.scheme == "https" and led_to.scheme != "https":
            raise TunegateError(
                f"{who} and leads to {led_to.shown}, which is plain http; adapters don't go that way. "
                "If it stands behind a proxy that speaks TLS, have that say so (X-Forwarded-Proto: https)"
            )
        return led_to

    def _sign_in(self, answer: requests.Response) -> bool:
        """Do what a 401 or 403 of the registry itself asks for; return whether that is new."""
        challenge = answer.headers.get("Www-Authenticate", "")
        before = self._authorization
        if challenge.lower().startswith("basic"):
            self._authorization = f"Basic {self._login}" if self._login else ""
        elif server := token_request(challenge, self.address, self._plain_hosts):
            # An earlier token may be for reading only; ask for one with what is wanted now.
            token = self._token(server)
            self._authorization = f"Bearer {token}" if token else ""
        return bool(self._authorization) and self._authorization != before

    def _token(self, server: Address) -> str:
        """Exchange the credentials for a token; empty: the token server does not take them."""
        headers = self.headers | ({"Authorization": f"Basic {self._login}"} if self._login else {})
        answer: requests.Response = self.session.request("GET", str(server), headers=headers, stream=True)
        if answer.status_code == 200:
            return read_token(answer, server)
        why = said(answer)
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unavailable(f"{why} as token server {server.shown}")
        if answer.status_code < 400:
            raise TunegateError(
                f"token server {server.shown}: answered {why} instead of a token; credentials don't follow"
            )
        return ""

    def _refuse(self, answer: requests.Response, answered: Address) -> None:
        status, place = answer.status_code, f"registry {self.host}"
        why = said(answer)
        if status >= 500 or status == 429:
            raise Unavailable(why)
        if status in (401, 403) and answered.origin != self.address.origin:
            raise AccessRefused(
                f"{place}: leads to {answered.shown}, which answers {why}; credentials go to the registry "
                "only, so it has to lead there with a signed address, or name itself by one host and port"
            )
        if status == 401 and not self._login:
            raise AccessRefused(f"{place}: asks for credentials ({why}); run `docker login {self.host}`")
        if status == 401:
            raise AccessRefused(
                f"{place}: refused the credentials of docker's config ({why}); "
                f"run `docker login {self.host}` again"
            )
        if status == 403:
            raise AccessRefused(
                f"{place}: this account may not do that in {self.repository.api_prefix} ({why}); "
                "ask for the permission, or name another image_repository"
            )
        if status == 404:
            problem = f"the registry has no such image or repository ({why}); check the name and push again"
            raise InvalidInput(f"{self.host}/{self.repository.api_prefix}", [problem])
        raise TunegateError(f"{place}: refused {answer.request.method} {answered.shown} ({why})")


def _docker_config() -> str | None:
    folder = os.environ.get("DOCKER_CONFIG")
    # The second is the key of a Kubernetes secret of docker's kind, where it is mounted as it is.
    named_by_folder = [Path(folder) / name for name in DOCKER_CONFIGS] if folder else []
    return next((str(path) for path in named_by_folder if path.is_file()), None)
