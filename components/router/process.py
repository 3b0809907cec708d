"""A router's process: its two ports, its source of replicas, and its end."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, disable_created_metrics, generate_latest

from components.router.answers import SERVER, Refused
from components.router.connection import ClientServer
from components.router.forward import Forwarder
from components.router.limits import LEAST_BODY_BYTES, Limits, allow_open_files
from components.router.listener import Listener
from components.router.metrics import FAILED, MISTAKEN, Metrics
from components.router.replicas import Replicas
from components.router.routes import NO_ROUTE

_POLL_S = 0.02


@dataclass(frozen=True)
class Ports:
    """Where a router listens.

    Attributes:
        host: The address of both.
        port: The clients'.
        inner_port: Of metrics and probes; clients don't reach it.
    """

    host: str
    port: int
    inner_port: int


class Router:
    """Stands between clients and replicas. Made inside a running loop.

    Args:
        limits: What is taken from clients.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.replicas = Replicas()
        self.metrics = Metrics(self.replicas.states)
        self._forwarder = Forwarder(self.replicas, self.metrics, limits, LEAST_BODY_BYTES)
        self._server = ClientServer(self._forwarder.answer, limits, self._count_refused)
        self.metrics.connections.set_function(lambda: len(self._server.connections))
        self._inner = web.AppRunner(self._inside(), access_log=None)
        self._door: Listener | None = None
        self._is_open = True
        self._inner_site: web.TCPSite | None = None

    async def start(self, ports: Ports) -> None:
        """Listen."""
        await self._inner.setup()
        self._inner_site = web.TCPSite(self._inner, ports.host, ports.inner_port)
        await self._inner_site.start()
        self._door = Listener(self._server, ports.host, ports.port)

    def bound_ports(self) -> tuple[int, int]:
        """Return the clients' port and the inner one."""
        assert self._door is not None and self._inner_site is not None
        return self._door.port, self._inner_site.port

    def serve(self, urls: list[str], max_body_bytes: int, well: list[str] | None = None) -> None:
        """Ask these replicas from now on, with bodies of so many bytes at most."""
        self.replicas.set(urls, well or ())
        self._forwarder.max_body_bytes = max_body_bytes

    async def wait_until_quiet(self, quiet_s: float, most_s: float) -> None:
        """Let in who still comes, each for one answer, until nobody has come for a while.

        Args:
            quiet_s: How long nobody new must have come.
            most_s: How long that may take.
        """
        now = asyncio.get_running_loop().time
        began = now()
        self._server.is_draining = True
        while now() < min(began + most_s, max(began, self._server.last_came) + quiet_s):
            await asyncio.sleep(_POLL_S)

    async def stop(self, drain_s: float) -> None:
        """Let nobody in, let what was begun be finished within so many seconds, and end."""
        if self._door is not None:
            self._door.close()
        self._is_open, self._server.is_draining = False, True
        self._server.close_idle()
        deadline = asyncio.get_running_loop().time() + drain_s
        while self._server.in_hand and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_POLL_S)
        await asyncio.sleep(_POLL_S)  # what was answered last is on its way
        for connection in self._server.connections:
            connection.force_close()
        await self._server.shutdown(1)
        await self._inner.cleanup()
        await self._forwarder.close()
        await self.replicas.close()

    def _count_refused(self, status: int) -> None:
        self.metrics.ended(NO_ROUTE, status, FAILED if status >= 500 else MISTAKEN, 0)

    def _inside(self) -> web.Application:
        """Return what answers at the inner port."""
        application = web.Application()
        application.router.add_get("/metrics", self._show_metrics)
        application.router.add_get("/ready", self._is_ready)
        application.router.add_get("/live", self._is_alive)
        return application

    async def _show_metrics(self, request: web.Request) -> web.Response:
        content = generate_latest(self.metrics.registry)
        return web.Response(body=content, headers={"Content-Type": CONTENT_TYPE_LATEST, "Server": SERVER})

    async def _is_ready(self, request: web.Request) -> web.Response:
        if not self._is_open or not self.replicas.any_well():
            return Refused(503, "no_replica", "No replica answers, or the router is ending.").response()
        return web.Response(headers={"Server": SERVER})

    async def _is_alive(self, request: web.Request) -> web.Response:
        return web.Response(headers={"Server": SERVER})


Source = Callable[[Router], Awaitable[None]]


def run(ports: Ports, source: Source, drain_s: float, quiet_s: float = 0) -> None:
    """Route until SIGTERM.

    Args:
        ports: Where.
        source: Tells the router its replicas, for ever.
        drain_s: How long it may take to end after SIGTERM.
        quiet_s: How long nobody new must have come before it lets nobody in; that takes half of the time at
            most, or so long once. The other half is for what was begun.
    """
    import uvloop

    disable_created_metrics()  # type: ignore[no-untyped-call]  # nobody asks for these series
    limits = Limits()
    limits = replace(limits, max_connections=allow_open_files(limits.max_connections))
    uvloop.run(_run(ports, source, drain_s, quiet_s, limits))


async def _run(ports: Ports, source: Source, drain_s: float, quiet_s: float, limits: Limits) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    router = Router(limits)
    await router.start(ports)
    following = asyncio.ensure_future(source(router))
    following.add_done_callback(lambda _: ending.set())  # it is to go on for ever
    await ending.wait()
    if following.done() and (error := following.exception()):
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    now = asyncio.get_running_loop().time
    ends = now() + drain_s
    if quiet_s:
        await router.wait_until_quiet(quiet_s, max(quiet_s, drain_s / 2))
    following.cancel()
    await router.stop(ends - now())
    with contextlib.suppress(asyncio.CancelledError):
        await following
