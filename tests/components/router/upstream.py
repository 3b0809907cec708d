"""A stand-in for an engine on loopback, raw: it keeps what it was sent, and can break, hang or refuse.

What it does is asked for by the prompt's first word, so that a test says it where it asks.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}


def text(word: str) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}


@dataclass
class Upstream:
    """What a stand-in was sent, and how it behaves."""

    name: str
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    is_hung: bool = False  # as after SIGSTOP: it takes connections, and says nothing
    health: int = 200
    url: str = ""

    @property
    def asked(self) -> list[str]:
        """Return the first lines of what was asked, health checks left out."""
        return [line for line, _, _ in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._one(reader, writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        if self.is_hung:
            await reader.read()  # nothing more until the router gives up
            raise ConnectionError
        if head[0].startswith("GET /health"):
            writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % self.health)
            return
        self.requests.append((head[0], headers, body))
        orders = json.loads(body)["messages"][0]["content"].split() if body else ["models"]
        del body  # a test may let go of it
        await getattr(self, f"_{orders[0]}")(reader, writer, *orders[1:])
        await writer.drain()

    async def _models(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._whole(writer, 200, json.dumps({"data": [{"id": self.name}]}).encode())

    async def _whole_answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._whole(writer, 200, b'{"choices": [], "said by": "%s"}' % self.name.encode())

    async def _status(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: str, only: str = ""
    ) -> None:
        failing = only in ("", self.name)
        self._whole(writer, int(status) if failing else 200, b'{"error": {"message": "own words"}}')

    async def _stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *padding: str
    ) -> None:
        self._begin(writer)
        for event in (ROLE, text(self.name), text(" says"), text(" hello")):
            self._event(writer, json.dumps(event).encode())
        self._event(writer, b"[DONE]")
        writer.write(b"0\r\n\r\n")

    async def _break(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, when: str, only: str = ""
    ) -> None:
        """Break off: at once, after the headers, after the role, or after some text."""
        if only not in ("", self.name):
            return await self._stream(reader, writer)
        if when != "at-once":
            self._begin(writer)
        if when in ("after-role", "after-text"):
            self._event(writer, json.dumps(ROLE).encode())
        if when == "after-text":
            self._event(writer, json.dumps(text("half")).encode())
        await writer.drain()
        raise ConnectionError

    async def _wait(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, when: str) -> None:
        """Wait until told to go on, or until the other end closes."""
        if when == "after-text":
            self._begin(writer)
            self._event(writer, json.dumps(text("half")).encode())
            await writer.drain()
        gone = asyncio.ensure_future(reader.read(1))
        told = asyncio.ensure_future(self.go_on.wait())
        done, _ = await asyncio.wait({gone, told}, return_when=asyncio.FIRST_COMPLETED)
        if gone in done:
            told.cancel()
            self.cancelled.set()
            raise ConnectionError
        gone.cancel()
        if when != "after-text":
            return await self._stream(reader, writer)
        self._event(writer, b"[DONE]")
        writer.write(b"0\r\n\r\n")
        return None

    async def _flood(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send text without an end, as long as somebody takes it."""
        self._begin(writer)
        try:
            while True:
                self._event(writer, json.dumps(text("x" * 10_000)).encode())
                await writer.drain()
        except ConnectionError:
            self.cancelled.set()
            raise

    def _whole(self, writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        extra = (
            "Retry-After: 7\r\nServer: engine\r\nAccess-Control-Allow-Origin: *\r\nSet-Cookie: a=b\r\n\r\n"
        )
        writer.write(head.encode() + extra.encode() + body)

    def _begin(self, writer: asyncio.StreamWriter) -> None:
        head = b"Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)

    def _event(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        chunk = b"data: " + data + b"\n\n"
        writer.write(b"%x\r\n" % len(chunk) + chunk + b"\r\n")


@asynccontextmanager
async def upstreams(count: int) -> AsyncIterator[list[Upstream]]:
    """Run some stand-ins, called one, two ..."""
    found, servers = [], []
    for name in ("one", "two", "three", "four")[:count]:
        upstream = Upstream(name)
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found.append(upstream)
        servers.append(server)
    try:
        yield found
    finally:
        for server in servers:
            server.close()
