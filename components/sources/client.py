"""The HTTP client that files of rows are fetched with: it goes where the address says, and nowhere inside."""

import errno
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from components.errors import InvalidInput
from components.web import METADATA_REFUSED, is_metadata_address, is_metadata_host, shown

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT_S = 30
SILENCE_TIMEOUT_S = 120  # of a server in the middle of a file; the whole may take as long as it takes


class MetadataAddressRefused(PermissionError):
    """A host stands for an address that no file is fetched from."""


async def make_client(**kwargs: Any) -> "aiohttp.ClientSession":
    """Make a session; fsspec calls this, and gives what it would give aiohttp's own."""
    import aiohttp

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_check_redirect)
    return aiohttp.ClientSession(
        # By the address that is connected to, so that neither a redirect nor a second look-up gets round it.
        connector=aiohttp.TCPConnector(socket_factory=_make_socket),
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
    family, kind, protocol, _, address = found
    if is_metadata_address(ip_address(address[0])):
        raise MetadataAddressRefused(errno.EACCES, METADATA_REFUSED)
    return socket.socket(family=family, type=kind, proto=protocol)


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
