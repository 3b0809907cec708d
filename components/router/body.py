"""Reading a request's body: within its length, its time, and the memory that all bodies share."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from components.router.answers import Refused
from components.router.limits import BYTES_PER_TOKEN, LEAST_BODY_BYTES, Limits

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HeldBytes:
    """What the bodies of all requests take together.

    Args:
        most: How much that may be.
    """

    def __init__(self, most: int) -> None:
        self._most, self._taken = most, 0

    @contextmanager
    def room(self) -> Iterator["Room"]:
        """Give a request its room, and take it back at the end."""
        room = Room(self)
        try:
            yield room
        finally:
            room.leave()

    def take(self, count: int) -> None:
        """Take so many bytes.

        Raises:
            Refused: There are not so many left.
        """
        if self._taken + count > self._most:
            message = (
                f"The bodies of all requests together would be over {self._most} bytes, the limit here. "
                "Try again in a moment."
            )
            raise Refused(503, "overloaded", message, {"Retry-After": "1"}, close=True)
        self._taken += count

    def give_back(self, count: int) -> None:
        """Give bytes back that were taken."""
        self._taken -= count


class Room:
    """What one request holds of the bytes that all may hold together.

    Attributes:
        body: Its body; nothing where it has none, or needs it no longer.
    """

    def __init__(self, held: HeldBytes) -> None:
        self._held, self._own = held, 0
        self.body: bytes | None = None

    def take(self, count: int) -> None:
        """Take so many bytes more."""
        self._held.take(count)
        self._own += count

    def leave(self) -> None:
        """Let go of the body, and give everything back; it may be called again."""
        self.body = None
        self._held.give_back(self._own)
        self._own = 0


async def read_body(request: web.BaseRequest, limits: Limits, max_bytes: int, room: Room) -> bytes:
    """Return the whole body of a request.

    Args:
        request: Whose headers have come.
        limits: How long it may take.
        max_bytes: How long it may be.
        room: Where it is counted.

    Raises:
        Refused: It is too long, too slow, compressed or broken.
    """
    _refuse_by_headers(request, max_bytes)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # nothing of the answer was sent
    if request.content.is_eof():  # most come whole with their headers, and need no clock
        whole = request.content.read_nowait()
        if len(whole) > max_bytes:
            raise _too_long(str(len(whole)), max_bytes)
        room.take(len(whole))
        return whole
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_s):
            while not request.content.at_eof():
                async with asyncio.timeout(limits.body_gap_s):
                    piece = await request.content.readany()
                room.take(len(piece))
                body += piece
                if len(body) > max_bytes:
                    raise _too_long(f"more than {max_bytes}", max_bytes)
    except TimeoutError as error:
        message = (
            f"The body did not come in time: at most {limits.body_gap_s:g} s between two pieces and "
            f"{limits.body_s:g} s for all of it."
        )
        raise Refused(408, "request_timeout", message, close=True) from error
    except web.RequestPayloadError as error:
        message = "The body is not what its headers say. Send Content-Length, or proper chunks."
        raise Refused(400, "invalid_body", message, close=True) from error
    return bytes(body)


def _refuse_by_headers(request: web.BaseRequest, max_bytes: int) -> None:
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        message = f"The body is compressed ({encoding[:40]!r}), which is not taken here. Send it as it is."
        raise Refused(415, "unsupported_encoding", message, close=True)
    expected = request.headers.get("Expect", "").lower()
    if expected not in ("", "100-continue"):
        message = f"Nothing else than 100-continue can be expected here, got {expected[:40]!r}."
        raise Refused(417, "expectation_failed", message, close=True)
    if request.content_length is not None and request.content_length > max_bytes:
        raise _too_long(str(request.content_length), max_bytes)


def _too_long(length: str, max_bytes: int) -> Refused:
    message = (
        f"The body has {length} bytes, and {max_bytes} are the limit: what this model can read is shorter "
        f"({BYTES_PER_TOKEN} bytes a token, at least {LEAST_BODY_BYTES}). Send a shorter prompt."
    )
    return Refused(413, "request_too_large", message, close=True)
