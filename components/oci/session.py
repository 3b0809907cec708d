"""A session that sends to a registry what it is told to, and nothing else that this machine knows."""

import socket
from collections.abc import Collection
from http.cookiejar import DefaultCookiePolicy
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from components.errors import InvalidInput
from components.web import (
    METADATA_REFUSED,
    PRIVATE_REFUSED,
    NoRedirects,
    as_address,
    is_metadata_address,
    is_private_address,
    parse_address,
)

TIMEOUT_S = (10, 120)  # to connect, between two bytes


class _NoOther(AuthBase):
    """Leaves a request as it is; without it, requests looks into ~/.netrc for every host it is led to."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class Session(NoRedirects, requests.Session):
    """A session that follows no redirect by itself, and takes no credentials from elsewhere.

    Proxies and authorities for TLS still come from the environment.

    Args:
        allowed: Private networks that may be connected to; None: any address may.
    """

    def __init__(self, allowed: Collection[IPv4Network | IPv6Network] | None = None) -> None:
        super().__init__()
        self.auth = _NoOther()
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter() if allowed is None else _guarded(allowed))


class _Adapter(HTTPAdapter):
    """Gives every request a time limit, those for tokens included."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request."""
        options["timeout"] = options.get("timeout") or TIMEOUT_S
        try:
            return super().send(request, **options)
        except urllib3.exceptions.LocationValueError as error:  # a host that no name server can be asked for
            raise requests.exceptions.InvalidURL(error) from error


def _guarded(allowed: Collection[IPv4Network | IPv6Network]) -> _Adapter:
    """Return an adapter that sends nothing to an address of a private network: by what is connected to."""

    class Guard:
        """Looks at whom a connection would reach, and at whom it has reached, before anything is sent."""

        host: str
        port: int

        def _new_conn(self) -> Any:
            for address in _addresses(self.host, self.port):  # or it would tell which ports are open there
                _check(self.host, address, allowed)
            connected = super()._new_conn()  # type: ignore[misc]
            try:
                _check(self.host, ip_address(connected.getpeername()[0]), allowed)
            except BaseException:
                connected.close()
                raise
            return connected

    class Plain(Guard, HTTPConnection):
        pass

    class Tls(Guard, HTTPSConnection):
        pass

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class TlsPool(HTTPSConnectionPool):
        ConnectionCls = Tls

    class Adapter(_Adapter):
        def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
            # A host by its address, which a proxy would ask for us; names are for the proxy to look up.
            host = parse_address((request.url or "").partition("#")[0]).host.strip("[]")
            if (address := as_address(host)) is not None:
                _check(host, address, allowed)
            return super().send(request, **options)

    adapter = Adapter()
    adapter.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": TlsPool}
    return adapter


def _addresses(host: str, port: int) -> list[IPv4Address | IPv6Address]:
    """Return the addresses of a host; none where it has none, which connecting to it then says."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


def _check(
    host: str, address: IPv4Address | IPv6Address, allowed: Collection[IPv4Network | IPv6Network]
) -> None:
    if is_metadata_address(address):
        raise InvalidInput(f"registry {host}", [METADATA_REFUSED])
    if is_private_address(address, allowed):
        raise InvalidInput(
            f"registry {host}",
            [
                f"{PRIVATE_REFUSED} ({address}); if images of rows are to come from there, log in to the "
                "registry, name it in TUNEGATE_INSECURE_REGISTRIES if it speaks plain http, or set "
                f"TUNEGATE_PRIVATE_DATASETS to a range that has it, as in '[\"{address}\"]'"
            ],
        )
