"""A router in the test's own loop, and a client that sends bytes as they are."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from components.router.limits import LEAST_BODY_BYTES, Limits
from components.router.process import Ports, Router
from tests.components.router.upstream import Upstream, upstreams


@dataclass
class Running:
    """A router that listens, and the stand-ins behind it."""

    router: Router
    upstreams: list[Upstream]

    @property
    def port(self) -> int:
        return self.router.bound_ports()[0]

    @property
    def inner_port(self) -> int:
        return self.router.bound_ports()[1]

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def send(self, raw: bytes, port: int = 0) -> "Answer":
        """Send bytes on a connection of their own and read all that comes back until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        writer.write(raw)
        try:
            return Answer.of(await asyncio.wait_for(reader.read(), 20))
        finally:
            writer.close()

    async def chat(self, order: str, *headers: str, path: str = "/v1/chat/completions") -> "Answer":
        """Ask with an order to the stand-in as the prompt."""
        return await self.send(request(order, *headers, path=path))

    async def series(self, name: str) -> dict[str, float]:
        """Return what the inner port shows of one metric: labels to value."""
        shown = await self.send(
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", self.inner_port
        )
        lines = [line for line in shown.body.decode().splitlines() if line.startswith(name)]
        return {line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2]) for line in lines}


@dataclass
class Answer:
    """What came back: status, headers, the body without its chunks, and whether it ended as it should."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool

    @classmethod
    def of(cls, raw: bytes) -> "Answer":
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        status = int(first.split()[1]) if first else 0
        if headers.get("transfer-encoding") != "chunked":
            return cls(status, headers, rest, len(rest) == int(headers.get("content-length", -1)))
        body = b""
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            if int(size or b"0", 16) == 0:
                return cls(status, headers, body, True)
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return cls(status, headers, body, False)

    @property
    def error(self) -> dict[str, Any]:
        """Return the error in OpenAI's form."""
        found: dict[str, Any] = json.loads(self.body)["error"]
        assert set(found) == {"message", "type", "param", "code"}
        return found


def request(order: str, *headers: str, path: str = "/v1/chat/completions") -> bytes:
    """Return a chat's bytes."""
    body = json.dumps({"model": "pet", "stream": True, "messages": [{"role": "user", "content": order}]})
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", body]).encode()


@asynccontextmanager
async def running(
    replicas: int = 2, limits: Limits | None = None, max_body_bytes: int = LEAST_BODY_BYTES
) -> AsyncIterator[Running]:
    """Run a router before some stand-ins, all of them well."""
    async with upstreams(replicas) as behind:
        router = Router(limits or Limits())
        await router.start(Ports("127.0.0.1", 0, 0))
        urls = [upstream.url for upstream in behind]
        router.serve(urls, max_body_bytes, well=urls)
        try:
            yield Running(router, behind)
        finally:
            await router.stop(0)


def routed(test: Callable[[Running], Awaitable[None]], **options: Any) -> None:
    """Run a test's coroutine with a router before two stand-ins."""

    async def run() -> None:
        async with running(**options) as found:
            await asyncio.wait_for(test(found), 60)

    asyncio.run(run())
