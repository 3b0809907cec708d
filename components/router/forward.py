"""One request from its client to a replica and back; to another one while nothing of an answer was sent."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
    web,
)
from yarl import URL

from components.router.answers import SERVER, Refused
from components.router.body import HeldBytes, Room, read_body
from components.router.limits import Limits
from components.router.metrics import ANSWERED, BROKEN, FAILED, GONE, MISTAKEN, Metrics
from components.router.passing import ClientLeft, Passing, is_stream, picked
from components.router.preamble import has_text
from components.router.replicas import Attempt, Replica, Replicas
from components.router.routes import HEALTH, NO_ROUTE, Asked, find_route

MAX_TRIES = 3  # a request that ends every engine it is sent to must not end them all
CONNECT_S = 1.0
# Less than uvicorn's 5 s: a connection that the engine is about to close is not used.
REUSE_S = 4.0
HELD_BYTES = 1 << 20  # of an answer, until it is passed on; an answer that is no stream mostly fits whole
# What goes from the client to the engine, and back: what is named here and nothing else, so neither headers
# of the connection (RFC 9110, 7.6.1) nor any that an engine would take for an order.
_TO_ENGINE = {
    "accept",
    "anthropic-beta",
    "anthropic-version",
    "authorization",
    "content-type",
    "traceparent",
    "tracestate",
    "user-agent",
    "x-api-key",
    "x-request-id",
}
_NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class Moved(Exception):
    """A replica did not answer; says why, as the metric has it."""


@dataclass
class Sent:
    """An answer that was passed on, and how it ended."""

    response: web.StreamResponse
    outcome: str


class Forwarder:
    """Answers the requests of clients. Made and closed inside a running loop.

    Args:
        replicas: Who is asked.
        metrics: What is counted.
        limits: What is taken from clients.

    Attributes:
        max_body_bytes: How long a body may be; it changes with the model that is served.
    """

    def __init__(self, replicas: Replicas, metrics: Metrics, limits: Limits, max_body_bytes: int) -> None:
        self.max_body_bytes = max_body_bytes
        self._replicas, self._metrics, self._limits = replicas, metrics, limits
        self._held = HeldBytes(limits.max_held_bytes)
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=REUSE_S),
            timeout=ClientTimeout(total=None, sock_connect=CONNECT_S),
            cookie_jar=DummyCookieJar(),  # one client's are not sent with another's requests
            auto_decompress=False,
            skip_auto_headers=_NOT_ADDED,
        )

    async def close(self) -> None:
        """Close the connections to replicas."""
        await self._session.close()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request and count it."""
        began, route, status, outcome = asyncio.get_running_loop().time(), NO_ROUTE, 499, GONE
        self._metrics.in_flight.inc()
        try:
            asked = find_route(request.method, request.raw_path)
            route = asked.path
            sent = await self._answer(request, asked, began)
            status, outcome = sent.response.status, sent.outcome
            return sent.response
        except Refused as refused:
            status, outcome = refused.status, FAILED if refused.status >= 500 else MISTAKEN
            return refused.response()
        except ClientLeft as error:
            raise ConnectionResetError("the client left") from error
        except Exception as error:
            if not isinstance(error, ConnectionError):  # the client's; else the fault is ours
                status, outcome = 500, FAILED
            raise
        finally:
            self._metrics.in_flight.dec()
            seconds = asyncio.get_running_loop().time() - began
            self._metrics.ended(route, status, outcome, seconds)

    async def _answer(self, request: web.BaseRequest, asked: Asked, began: float) -> Sent:
        if "Upgrade" in request.headers:
            raise Refused(400, "bad_request", "No other protocol is spoken here.", close=True)
        if asked.method == "GET" and request.body_exists and not request.content.at_eof():
            raise Refused(400, "bad_request", f"{asked.path} takes no body.", close=True)
        if asked.path == HEALTH:
            return self._health()
        with self._held.room() as room:
            if asked.method == "POST":
                room.body = await read_body(request, self._limits, self.max_body_bytes, room)
            return await self._forward(request, asked, room, began)

    def _health(self) -> Sent:
        if not self._replicas.any_well():
            raise _nobody()
        response = web.Response(body=b"", headers={"Server": SERVER})
        return Sent(response, ANSWERED)

    async def _forward(self, request: web.BaseRequest, asked: Asked, room: Room, began: float) -> Sent:
        """Ask one replica after another until one answers."""
        tried: set[Replica] = set()
        for _ in range(MAX_TRIES):
            replica = self._replicas.choose(tried)
            if replica is None:
                break
            tried.add(replica)
            try:
                return await self._ask(request, asked, room, began, replica, tried)
            except Moved as moved:
                self._metrics.moves.labels(str(moved)).inc()
        raise _nobody()

    async def _ask(
        self,
        request: web.BaseRequest,
        asked: Asked,
        room: Room,
        began: float,
        replica: Replica,
        tried: set[Replica],
    ) -> Sent:
        """Pass one replica's answer on.

        Raises:
            Moved: It gave none; its client has not been sent anything.
            ClientLeft: Nobody wants it any more.
        """
        passing = Passing(request, self._limits.send_s)
        try:
            async with asyncio.timeout(None) as clock:
                with replica.asked(clock) as attempt:
                    async with self._session.request(
                        asked.method,
                        _url(replica, asked),
                        data=room.body,
                        headers=picked(request.headers, _TO_ENGINE),
                        allow_redirects=False,
                    ) as response:
                        may_move = len(tried) < MAX_TRIES and self._replicas.has_other(tried)
                        if response.status >= 500 and may_move:
                            raise Moved("status")
                        await self._pass_on(response, passing, replica, attempt, room, asked.path, began)
        except (ClientConnectorError, ConnectionTimeoutError) as error:
            replica.refused()
            raise Moved("connect") from error
        except (ClientError, OSError, TimeoutError) as error:
            if passing.response is None:
                raise Moved("hung" if isinstance(error, TimeoutError) else "broken") from error
            await passing.cut()
            return Sent(passing.response, BROKEN)
        finally:
            passing.close()
        assert passing.response is not None
        outcome = FAILED if passing.response.status >= 500 else ANSWERED
        return Sent(passing.response, MISTAKEN if 400 <= passing.response.status < 500 else outcome)

    async def _pass_on(
        self,
        response: ClientResponse,
        passing: Passing,
        replica: Replica,
        attempt: Attempt,
        room: Room,
        path: str,
        began: float,
    ) -> None:
        pieces = response.content.iter_any()
        beginning = await _beginning(response, pieces)
        attempt.has_text = True
        room.leave()  # nobody else will be asked
        self._metrics.first_text.labels(path).observe(asyncio.get_running_loop().time() - began)
        await passing.begin(response, beginning)
        async for piece in pieces:
            replica.was_heard = True
            await passing.write(piece)
        await passing.end()


async def _beginning(response: ClientResponse, pieces: AsyncIterator[bytes]) -> bytes:
    """Return what comes up to the first text of a stream, or the whole of another answer that is not long."""
    held, in_events = bytearray(), is_stream(response)
    async for piece in pieces:
        held += piece
        if len(held) >= HELD_BYTES or (in_events and has_text(bytes(held))):
            break
    return bytes(held)


def _url(replica: Replica, asked: Asked) -> URL:
    query = f"?{asked.query}" if asked.query else ""
    return URL(f"{replica.url}{asked.path}{query}", encoded=True)


def _nobody() -> Refused:
    message = "No replica answers just now. Try again in a moment."
    return Refused(503, "no_replica", message, {"Retry-After": "1"})
