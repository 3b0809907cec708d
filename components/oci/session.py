"""A session that sends to a registry what it is told to, and nothing else that this machine knows."""

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from components.web import NoRedirects

TIMEOUT_S = (10, 120)  # to connect, between two bytes


class _NoOther(AuthBase):
    """Leaves a request as it is; without it, requests looks into ~/.netrc for every host it is led to."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Session(NoRedirects, requests.Session):
    """A session that follows no redirect by itself, and takes no credentials from elsewhere.

    Proxies and authorities for TLS still come from the environment.
    """

    def __init__(self) -> None:
        super().__init__()
        self.auth = _NoOther()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.mount("http://", _Adapter())
        self.mount("https://", _Adapter())


class _Adapter(HTTPAdapter):
    """Gives every request a time limit, those for tokens included."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request."""
        options["timeout"] = options.get("timeout") or TIMEOUT_S
        try:
            return super().send(request, **options)
        except urllib3.exceptions.LocationValueError as error:  # a host that no name server can be asked for
            raise requests.exceptions.InvalidURL(error) from error
