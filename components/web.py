"""What comes over the web is a stranger's: addresses are parsed once, answers are read up to a limit."""

import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Protocol
from urllib.parse import urlsplit

from components.errors import InvalidInput, TunegateError

WEB = ("http", "https")
DEFAULT_PORTS = {"http": 80, "https": 443}
# What parsers of addresses read differently: one takes a backslash for a slash, another for a letter.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f-\x9f\\<>\"^`{|}]|\s")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?|\[[0-9a-f:.]+\]")
_SECRETS = re.compile(
    # Of a bounded length: without, a long word without :// takes the square of its length.
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)"
    # A password that should have been written as %2F and so on has slashes; what is no port is no host's.
    r"(?:[^\s/]*@|[^\s/:@\[]*:(?!\d+(?:[/?#'\"]|$))[^\s'\"<>]*@)?"
    r"(?P<rest>[^\s?#'\"<>]*)"
    # Which part of a dataset on the hub is meant is no secret.
    r"(?P<split>(?:\?(?:split|config)=[\w.-]{1,100}(?:&(?:split|config)=[\w.-]{1,100})?(?=[\s'\"<>]|$))?)"
    r"(?:[?#][^\s'\"<>]*)?"
)

PRIVATE_REFUSED = "is an address of this machine or of a private network"
METADATA_REFUSED = "is a cloud's metadata service or a link-local address, which nothing is fetched from"
_METADATA_NAMES = {"metadata.google.internal", "metadata.goog"}
# Those that are not link-local: Alibaba's, Azure's, AWS's and Google's over IPv6.
_METADATA_ADDRESSES = {
    ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254")
}
_NAT64 = IPv6Network("64:ff9b::/96")
# Meant for one network alone, though Python calls them global: site-local, NAT64 of a network, SIIT.
_LOCAL = tuple(map(IPv6Network, ("fec0::/10", "64:ff9b:1::/48", "::ffff:0:0:0/96")))


@dataclass(frozen=True)
class Address:
    """A URL that every parser reads alike.

    Attributes:
        scheme: In small letters.
        credentials: `user:password` as it stands before the host; empty if there are none.
        host: In small letters; an IPv6 address in its brackets.
        port: The one that is written, or the scheme's own; None where neither is.
        path: Begins with a slash, or is empty.
        query: What stands after `?`.
    """

    scheme: str
    credentials: str
    host: str
    port: int | None
    path: str
    query: str

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """Return whom the address asks: scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def host_and_port(self) -> str:
        """Return the host, with the port unless it is the scheme's own."""
        plain = self.port is None or self.port == DEFAULT_PORTS.get(self.scheme)
        return self.host if plain else f"{self.host}:{self.port}"

    @property
    def shown(self) -> str:
        """Return the address as anybody may read it: without credentials and query."""
        return f"{self.scheme}://{self.host_and_port}{self.path}"

    def __str__(self) -> str:
        credentials = f"{self.credentials}@" if self.credentials else ""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{credentials}{self.host_and_port}{self.path}{query}"


def parse_address(text: str, schemes: Collection[str] = WEB, credentials: bool = False) -> Address:
    """Parse a URL; use what this returns, not the text again.

    Args:
        text: The URL. A fragment is refused, as nobody sends it.
        schemes: Those that may stand there.
        credentials: Whether `user:password@` may.

    Raises:
        InvalidInput: It is no URL of these schemes, or parsers would not agree on its host.
    """
    what, wanted = shown(text), f"wanted {' or '.join(f'{scheme}://HOST' for scheme in schemes)}"
    if _AMBIGUOUS.search(text):
        raise InvalidInput(
            what, ["has a space, a backslash or another sign that no URL has; write it as %XX"]
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(what, [f"is no URL ({error}); {wanted}"]) from error
    scheme = parts.scheme
    if scheme not in schemes or not text[len(scheme) :].startswith("://"):
        raise InvalidInput(what, [f"is no such URL; {wanted}"])
    before, at, authority = parts.netloc.rpartition("@")
    host = authority.lower()
    if port is not None or host.endswith(":"):
        host = host.rpartition(":")[0]
    if not _HOST.fullmatch(host):
        raise InvalidInput(what, [f"names no host that can be asked; {wanted}"])
    if at and not credentials:
        raise InvalidInput(what, ["names a user before the host; credentials don't belong in this address"])
    if parts.fragment:
        raise InvalidInput(what, [f"has a part after #, which nobody is sent; {wanted}"])
    return Address(
        scheme, before, host, port if port is not None else DEFAULT_PORTS.get(scheme), parts.path, parts.query
    )


def is_metadata_host(host: str) -> bool:
    """Tell by a host's name or address, in whatever way the address is written.

    They tell a machine's own secrets to whoever asks from it. A name that stands for such an address is known
    only when it is looked up: `components.sources.client` sees to that.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name in _METADATA_NAMES:
        return True
    address = as_address(name)
    return address is not None and is_metadata_address(address)


def is_metadata_address(address: IPv4Address | IPv6Address) -> bool:
    """Tell by an address, one of version 4 within one of version 6 included."""
    return any(one.is_link_local or one in _METADATA_ADDRESSES for one in _meant(address))


def is_private_address(
    address: IPv4Address | IPv6Address, allowed: Collection[IPv4Network | IPv6Network] = ()
) -> bool:
    """Tell whether an address is of this machine or of a private network, and of none that is allowed."""
    meant = _meant(address)
    if any(one in network for one in meant for network in allowed):
        return False
    return any(
        not one.is_global or one.is_multicast or any(one in network for network in _LOCAL) for one in meant
    )


def _meant(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return an address, and one of version 4 that is within it."""
    if isinstance(address, IPv4Address):
        return [address]
    within = address.ipv4_mapped or address.sixtofour
    if address in _NAT64 or address.packed[:12] == bytes(12):
        within = IPv4Address(address.packed[12:])
    itself = IPv6Address(address.packed)  # without its zone
    return [itself, within] if within is not None else [itself]


def as_address(name: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a host's name is written as, in whatever way; None for a name."""
    try:
        return ip_address(name)
    except ValueError:
        pass
    try:
        # As the system reads it when it connects: 0xa9fea9fe, 2852039166 and 0251.0376.43518 are one address.
        return IPv4Address(socket.inet_aton(name))
    except (OSError, UnicodeError):
        return None


def shown(text: str) -> str:
    """Return a text with every URL in it as anybody may read it: without credentials, query and fragment.

    Of a dataset on the hub, split and config stay.
    """

    def without_secrets(found: re.Match[str]) -> str:
        return found["scheme"] + found["rest"] + found["split"] * (found["scheme"].lower() == "hf://")

    return _SECRETS.sub(without_secrets, text)


class NoRedirects:
    """Goes before `requests.Session` as a base of a session that asks nobody but whom it was told to."""

    def get_redirect_target(self, resp: object) -> str | None:
        """Say that an answer leads nowhere; told not to follow it, requests would still read all of it."""
        return None


class Readable(Protocol):
    """Something that gives bytes: a file, an answer."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, and none at the end."""


def read_at_most(source: Readable, limit_bytes: int, what: str) -> bytes:
    """Read all of it, and not a byte over the limit.

    Args:
        source: What is read; each of its reads may return less than was asked for.
        limit_bytes: How long it may be.
        what: What it is, in the words of an error.

    Raises:
        TunegateError: It is longer.
    """
    content = bytearray()
    while chunk := source.read(min(1 << 16, limit_bytes + 1 - len(content))):
        content += chunk
        if len(content) > limit_bytes:
            raise TunegateError(
                f"{what}: is longer than {limit_bytes} bytes, which is all that is read of it"
            )
    return bytes(content)


def quoted(text: str, limit: int = 300) -> str:
    """Return a stranger's words as an error may hold them: on one line, printable and not endless.

    Args:
        text: The words; signs that steer a terminal or are no UTF-8 become U+FFFD.
        limit: So many characters are kept.
    """
    line = " ".join(text[: 4 * limit].split())
    line = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
