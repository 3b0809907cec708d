"""Who may have the credentials of a registry: itself, and the token server that it names. Nobody else."""

import re
from collections.abc import Collection
from dataclasses import replace
from urllib.parse import urlencode

import oras.auth
import oras.container
import requests

from components.errors import AccessRefused, InvalidInput
from components.oci.answers import MAX_WORDS_BYTES, read_object
from components.web import METADATA_REFUSED, Address, is_metadata_host, parse_address, quoted, shown

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
MAX_CHALLENGE_CHARACTERS = 4096
_PARAMETER = re.compile(r'([a-z]+)="([^"]*)"', re.IGNORECASE)
_LOGIN = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_TOKEN = re.compile(r"[\x21-\x7e][\x20-\x7e]*")


def load_login(host: str, registry: str, config: str | None) -> str:
    """Return what docker's config has for a registry, `user:password` in base64; empty: nothing.

    Args:
        host: The registry, as its user names it.
        registry: As docker's config names it.
        config: The file; None: docker's own.

    Raises:
        InvalidInput: The config can't be read.
    """
    backend = oras.auth.get_auth_backend("token")
    try:
        backend.load_configs(
            oras.container.Container("name", registry=registry), configs=[config] if config else None
        )
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError) as error:
        reason = quoted(str(error)) or type(error).__name__
        raise _unreadable(config, host, f"could not be read ({reason})") from error
    login = getattr(backend, "_basic_auth", "")
    if login and not (isinstance(login, str) and _LOGIN.fullmatch(login)):
        raise _unreadable(config, host, f"has no user:password in base64 as auth of {registry}")
    return login or ""


def token_request(challenge: str, registry: Address, plain_hosts: Collection[str]) -> Address | None:
    """Return where a registry wants its credentials to be exchanged for a token, and for what.

    A registry names its token server itself (docker.io has auth.docker.io), and the protocol sends that one
    the registry's own password. That gives nothing away: the registry could ask for the password directly and
    pass it on. So any host may be named, but over TLS: who reads the way there is nobody's choice. Plain http
    is for a registry that is itself spoken to in plain http, and leads to the same host or to one that the
    user trusts that much.

    Args:
        challenge: The header `WWW-Authenticate` of the registry's own answer.
        registry: Who answered.
        plain_hosts: Whom the user speaks plain http with, `host` or `host:port`.

    Returns:
        The address to ask; None where no token is wanted.

    Raises:
        AccessRefused: Credentials don't go where it leads.
    """
    if not challenge.lower().startswith("bearer"):
        return None
    who = f"registry {registry.host_and_port}"
    if len(challenge) > MAX_CHALLENGE_CHARACTERS:
        raise AccessRefused(f"{who}: asks for a token in more than {MAX_CHALLENGE_CHARACTERS} characters")
    named = {name.lower(): value for name, value in _PARAMETER.findall(challenge)}
    realm = named.get("realm", "")
    try:
        server = parse_address(realm)
    except InvalidInput as error:
        raise AccessRefused(
            f"{who}: names {quoted(shown(realm))!r} as its token server, which can't be asked "
            f"({'; '.join(error.problems)}); no credentials are sent there"
        ) from error
    if is_metadata_host(server.host):
        raise AccessRefused(
            f"{who}: names the token server {server.shown}, which {METADATA_REFUSED}; no credentials go there"
        )
    if server.scheme != "https" and not _may_be_plain(server, registry, plain_hosts):
        raise AccessRefused(
            f"{who}: names the token server {server.shown}, which is asked over plain http: everybody on the "
            "way could read the credentials, so none are sent. Have the registry name it with https"
        )
    asked = {name: named[name] for name in ("service", "scope") if named.get(name)}
    return replace(server, query="&".join(filter(None, (server.query, urlencode(asked)))))


def read_token(answer: requests.Response, server: Address) -> str:
    """Return the token that a token server gave.

    Raises:
        InvalidInput: It gave none that can be sent.
        TunegateError: Its answer is too long.
    """
    what = f"token server {server.shown}"
    found = read_object(answer, what)
    token = found.get("token") or found.get("access_token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise InvalidInput(
            what, [f"its answer holds no token (a text of plain letters, at most {MAX_WORDS_BYTES:,} bytes)"]
        )
    return token


def _may_be_plain(server: Address, registry: Address, plain_hosts: Collection[str]) -> bool:
    if registry.scheme == "https":
        return False
    both_here = server.host in LOOPBACK and registry.host in LOOPBACK
    named = server.host not in LOOPBACK and not {server.host, server.host_and_port}.isdisjoint(plain_hosts)
    return server.host == registry.host or both_here or named


def _unreadable(config: str | None, host: str, problem: str) -> InvalidInput:
    return InvalidInput(
        config or "~/.docker/config.json", [f"{problem}; repair it, or `docker login {host}` again"]
    )
