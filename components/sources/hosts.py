"""Hosts that no file is fetched from: they tell a machine's own secrets to whoever asks from it."""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

REFUSED = "is a cloud's metadata service or a link-local address, which no file is fetched from"
_NAMES = {"metadata.google.internal", "metadata.goog"}
# Those that are not link-local: Alibaba's, Azure's, AWS's and Google's over IPv6.
_ADDRESSES = {
    ip_address(text) for text in ("100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254")
}
_NAT64 = IPv6Network("64:ff9b::/96")


def is_metadata_host(host: str) -> bool:
    """Tell by a host's name or address, in whatever way the address is written.

    A name that stands for such an address is known when it is looked up: `client` sees to that.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name in _NAMES:
        return True
    address = _as_address(name)
    return address is not None and is_metadata_address(address)


def is_metadata_address(address: IPv4Address | IPv6Address) -> bool:
    """Tell by an address, one of version 4 within one of version 6 included."""
    if isinstance(address, IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if address in _NAT64 or address.packed[:12] == bytes(12):
            within = IPv4Address(address.packed[12:])
        if within is not None and is_metadata_address(within):
            return True
        address = IPv6Address(address.packed)  # without its zone
    return address.is_link_local or address in _ADDRESSES


def _as_address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        pass
    try:
        # As the system reads it when it connects: 0xa9fea9fe, 2852039166 and 0251.0376.43518 are one address.
        return IPv4Address(socket.inet_aton(name))
    except (OSError, UnicodeError):
        return None
