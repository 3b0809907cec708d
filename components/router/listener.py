"""The clients' port: whoever waits there is let in at once."""

import asyncio
import socket
from collections.abc import Callable

BACKLOG = 1024
_AT_ONCE = 256
_AGAIN_S = 0.1  # where no file is left to open for another connection


class Listener:
    """Accepts connections on one port; made inside a running loop.

    uvloop's own server lets in one connection a turn of its loop. A turn takes long where many streams go
    through on a busy machine, and those who wait outside wait for that many turns.

    Args:
        factory: Makes the protocol of a connection.
        host: The address.
        port: 0: any that is free.
    """

    def __init__(self, factory: Callable[[], asyncio.Protocol], host: str, port: int) -> None:
        self._factory, self._loop = factory, asyncio.get_running_loop()
        self._coming: set[asyncio.Task[object]] = set()
        self._again: asyncio.TimerHandle | None = None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._loop.add_reader(self._socket, self._accept)

    def close(self) -> None:
        """Let in nobody any more; whoever is in stays."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no file is left: asking again at once would take the processor
                self._loop.remove_reader(self._socket)
                self._again = self._loop.call_later(_AGAIN_S, self._listen_again)
                return
            task = self._loop.create_task(self._let_in(connection))
            self._coming.add(task)
            task.add_done_callback(self._coming.discard)

    def _listen_again(self) -> None:
        self._again = None
        self._loop.add_reader(self._socket, self._accept)

    async def _let_in(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except OSError:  # it has left again
            connection.close()
