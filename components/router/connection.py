"""The clients' connections: how many, how long a request's headers may take, and what bad ones are told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from components.router.answers import Refused
from components.router.limits import Limits

# What a client that was refused goes on sending is read so long, or it would miss the answer.
LINGERING_S = 1.0

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class ClientServer(web.Server):
    """Accepts the clients' connections.

    Args:
        handler: Answers a request; it is cancelled when its client goes away.
        limits: Of connections and headers.
        refused: Told the status of an answer to a request that no handler saw.
    """

    def __init__(self, handler: Handler, limits: Limits, refused: Callable[[int], None]) -> None:
        super().__init__(self._handle, request_factory=_begin, handler_cancellation=True)
        self.limits, self.refused = limits, refused
        self.idle: dict[Connection, None] = {}  # the one that has been idle longest comes first
        self.in_hand = 0
        self.is_draining = False  # each connection is closed with its answer
        self.last_came = 0.0  # by the loop's clock
        self._answer = handler

    def __call__(self) -> "Connection":
        """Return the protocol of a new connection."""
        return Connection(self, self._loop)

    def make_room(self, newest: "Connection") -> bool:
        """Close the connection that has been idle longest if there are too many; return whether that did."""
        if len(self.connections) <= self.limits.max_connections:
            return True
        oldest = next((connection for connection in self.idle if connection is not newest), None)
        if oldest is None:
            return False
        del self.idle[oldest]  # it is lost a turn later only, and may make room for one alone
        oldest.force_close()
        return True

    def close_idle(self) -> None:
        """Close the connections on which nothing is asked."""
        for connection in list(self.idle):
            connection.force_close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.in_hand += 1
        try:
            response = await self._answer(request)
            if self.is_draining:
                response.force_close()
            return response
        finally:
            self.in_hand -= 1
            _connection_of(request.protocol).wait_for_head()


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_head_timer", "_is_answering", "_server")

    def __init__(self, server: ClientServer, loop: asyncio.AbstractEventLoop) -> None:
        limits = server.limits
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=limits.idle_s,
            tcp_keepalive=False,  # it asks after two hours; what is over by then is over by our own limits
            access_log=None,  # type: ignore[arg-type]  # this is how aiohttp is told to keep none
            max_line_size=limits.max_header_bytes,
            max_field_size=limits.max_header_bytes,
            max_headers=limits.max_headers,
            lingering_time=LINGERING_S,
            auto_decompress=False,
        )
        self._server = server
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_answering = False

    @property
    def is_draining(self) -> bool:
        """Whether it is closed with its next answer."""
        return self._server.is_draining

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there are too many."""
        super().connection_made(transport)
        self._server.last_came = self._loop.time()
        self._server.idle[self] = None
        if not self._server.make_room(self):
            limit = self._server.limits.max_connections
            self._refuse(
                Refused(503, "overloaded", f"There are {limit} connections, the limit here; try again."),
                "Service Unavailable",
            )

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._server.idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent; with the first byte of a request its time begins."""
        if data and not self._is_answering and self._head_timer is None:
            self._server.idle.pop(self, None)
            self._head_timer = self._loop.call_later(self._server.limits.head_s, self._head_is_late)
        super().data_received(data)

    def head_came(self) -> None:
        """Let the time of the headers end."""
        self._stop_timer()
        self._server.idle.pop(self, None)
        self._is_answering = True

    def wait_for_head(self) -> None:
        """Wait for the next request."""
        self._is_answering = False
        if self.transport is not None:
            self._server.idle[self] = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be read or handled; nothing of how we are made is told."""
        if isinstance(exc, ConnectionError):
            raise exc  # nobody is there any more
        if status >= 500:
            logging.getLogger(__name__).error("a request could not be handled", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of the answer was sent already")
        refused = _explained(status, exc, message or "", self._server.limits)
        if status < 500:  # no handler has seen it, so nobody has counted it
            self._server.refused(refused.status)
        self._is_answering = False
        return refused.response()

    def _head_is_late(self) -> None:
        self._head_timer = None
        limit = self._server.limits.head_s
        message = f"The request's headers did not come within {limit:g} s, the limit here."
        self._refuse(Refused(408, "request_timeout", message), "Request Timeout")

    def _refuse(self, refused: Refused, reason: str) -> None:
        if self.transport is not None:
            self.transport.write(refused.raw(reason))
            self._server.refused(refused.status)
        self.force_close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _begin(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    """Make a request of headers that have come."""
    connection = _connection_of(protocol)
    connection.head_came()
    if connection.is_draining:  # then the answer says that it is the last one here
        message = message._replace(should_close=True)
    loop: Any = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop)


def _connection_of(protocol: web.RequestHandler) -> Connection:
    assert isinstance(protocol, Connection)  # the server makes no others
    return protocol


def _explained(status: int, error: BaseException | None, message: str, limits: Limits) -> Refused:
    if status >= 500:
        return Refused(status, "internal_error", "The router has a fault; its log says which.", close=True)
    if isinstance(error, LineTooLong) or message.startswith("Too many headers"):
        text = (
            f"The headers are too large: at most {limits.max_headers}, and the first line and each of them "
            f"at most {limits.max_header_bytes} bytes."
        )
        return Refused(431, "headers_too_large", text, close=True)
    text = f"This is no HTTP request that is taken here: {message.partition(chr(10))[0][:200]}"
    return Refused(400, "bad_request", text, close=True)
