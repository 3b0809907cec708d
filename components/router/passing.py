"""An engine's answer on its way to the client."""

import asyncio
import contextlib
import json
from collections.abc import Mapping

from aiohttp import ClientResponse, web
from multidict import CIMultiDict

from components.router.answers import SERVER, error_object

# What goes back to the client; nothing of the connection, and nothing that opens it to other pages.
_TO_CLIENT = {
    "cache-control",
    "content-length",
    "content-type",
    "retry-after",
    "www-authenticate",
    "x-request-id",
}


class ClientLeft(Exception):
    """Nobody reads the answer any more."""


class Passing:
    """An answer on its way to the client.

    Args:
        request: The client's.
        send_s: How long the client may take for a piece; twice that, at most, as it is looked at so often.

    Attributes:
        response: What the client is sent; nothing before its first piece.
    """

    def __init__(self, request: web.BaseRequest, send_s: float) -> None:
        self.response: web.StreamResponse | None = None
        self._request, self._send_s = request, send_s
        self._is_stream = self._has_names = False
        self._last = b""
        self._loop = asyncio.get_running_loop()
        self._sending_since: float | None = None
        self._look: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Watch the client no longer."""
        if self._look is not None:
            self._look.cancel()

    async def begin(self, response: ClientResponse, beginning: bytes) -> None:
        """Send status, headers and the first piece."""
        self._is_stream, self._has_names = is_stream(response), beginning.startswith(b"event:")
        headers = picked(response.headers, _TO_CLIENT)
        headers["Server"] = SERVER
        self.response = web.StreamResponse(status=response.status, reason=response.reason, headers=headers)
        try:
            await self.response.prepare(self._request)
        except ConnectionError as error:
            raise ClientLeft from error
        self._look = self._loop.call_later(self._send_s, self._end_if_unread)
        if beginning:
            await self.write(beginning)

    async def write(self, piece: bytes) -> None:
        """Send one piece as it came."""
        assert self.response is not None
        self._last, self._sending_since = piece, self._loop.time()
        try:
            await self.response.write(piece)
        except ConnectionError as error:  # aiohttp's client raises the same for a replica that is gone
            raise ClientLeft from error
        finally:
            self._sending_since = None

    def _end_if_unread(self) -> None:
        """End the connection if a piece has waited too long; one timer for an answer, as pieces are many."""
        since, transport = self._sending_since, self._request.transport
        if since is None or self._loop.time() - since < self._send_s:
            self._look = self._loop.call_later(self._send_s, self._end_if_unread)
        elif transport is not None:
            transport.abort()  # closing would wait until it has taken what it was sent

    async def end(self) -> None:
        """Send the end."""
        assert self.response is not None
        try:
            await self.response.write_eof()
        except ConnectionError as error:
            raise ClientLeft from error

    async def cut(self) -> None:
        """End an answer whose replica was lost so that it can't be taken for a whole one.

        A stream gets an error event, which tells those who read events why; then the connection is closed
        without the last chunk, which nobody overlooks who only waits for the end.
        """
        if self._is_stream:
            error = {"type": "error"} | error_object(
                502, "replica_lost", "The replica that answered was lost."
            )
            name = b"event: error\n" if self._has_names else b""
            gap = b"" if self._last.endswith(b"\n\n") else b"\n\n"
            with contextlib.suppress(ClientLeft):
                await self.write(gap + name + b"data: " + json.dumps(error).encode() + b"\n\n")
        self._request.protocol.force_close()


def is_stream(response: ClientResponse) -> bool:
    """Return whether an answer comes as events."""
    return response.content_type == "text/event-stream"


def picked(headers: Mapping[str, str], names: set[str]) -> "CIMultiDict[str]":
    """Return the headers that have one of these names."""
    return CIMultiDict((key, value) for key, value in headers.items() if key.lower() in names)
