"""The HTTP client that files of rows are fetched with: it goes where the address says, and nowhere inside."""

import errno
import socket
from contextvars import ContextVar
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

from components.errors import InvalidInput
from components.settings import load_settings
from components.web import (
    METADATA_REFUSED,
    PRIVATE_REFUSED,
    as_address,
    is_metadata_address,
    is_metadata_host,
    is_private_address,
    shown,
)

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S = 30
SILENCE_TIMEOUT_S = 120  # of a server in the middle of a file; the whole may take as long as it takes


# Whether what is connected to is a proxy, which whoever runs this machine has named.
_TO_PROXY: ContextVar[bool] = ContextVar("to_proxy", default=False)


class AddressRefused(PermissionError):
    """A host stands for an address that no file is fetched from."""


async def make_client(**kwargs: Any) -> "aiohttp.ClientSession":
    """Make a session; fsspec calls this, and gives what it would give aiohttp's own."""
    import aiohttp

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_check_redirect)

    async def check_request(request: Any, send: Any) -> Any:
        # A host by its address, which a proxy would ask for us.
        _check_private(as_address((request.url.host or "").strip("[]")))
        _TO_PROXY.set(request.proxy is not None)
        return await send(request)

    return aiohttp.ClientSession(
        # By the address that is connected to, so that neither a redirect nor a second look-up gets round it.
        connector=aiohttp.TCPConnector(socket_factory=_make_socket),
        middlewares=(check_request,),
        trace_configs=[tracing],
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S
        ),
        # What arrives is counted and unpacked by us, where its limit is known.
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
        trust_env=True,  # for a proxy
        **kwargs,
    )


def _make_socket(found: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    family, kind, protocol, _, place = found
    address = ip_address(place[0])
    if is_metadata_address(address):
        raise AddressRefused(errno.EACCES, METADATA_REFUSED)
    if not _TO_PROXY.get():
        _check_private(address)
    return socket.socket(family=family, type=kind, proto=protocol)


def _check_private(address: IPv4Address | IPv6Address | None) -> None:
    if address is not None and is_private_address(address, load_settings().private_datasets):
        raise AddressRefused(
            errno.EACCES,
            f"{PRIVATE_REFUSED} ({address}); if files of rows are to come from there, set "
            f"TUNEGATE_PRIVATE_DATASETS to a range that has it, as in '[\"{address}\"]'",
        )


async def _check_redirect(session: Any, context: Any, params: Any) -> None:
    """Hold each hop against what a person may name; behind a proxy nobody here looks up its host."""
    from yarl import URL

    headers = params.response.headers
    target = params.url.join(URL(headers.get("Location") or headers.get("URI") or ""))
    to = shown(str(target))
    if target.scheme != params.url.scheme and target.scheme != "https":
        raise InvalidInput(
            shown(str(params.url)), [f"redirects from {params.url.scheme} to {to}; name the file itself"]
        )
    if is_metadata_host(target.host or ""):
        raise InvalidInput(shown(str(params.url)), [f"redirects to {to}, which {METADATA_REFUSED}"])
