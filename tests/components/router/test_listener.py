"""Letting connections in: all that wait, under uvloop as the process runs, and again when files are free."""

import asyncio
import errno
import socket
from typing import Any

import pytest
import uvloop

from components.router import listener
from components.router.listener import Listener


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        transport.write(b"in")
        transport.close()


async def greeted(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


def test_all_who_wait_are_let_in() -> None:
    async def test() -> None:
        door = Listener(Greeting, "127.0.0.1", 0)
        assert await asyncio.gather(*(greeted(door.port) for _ in range(300))) == [b"in"] * 300
        door.close()
        with pytest.raises(OSError):
            await greeted(door.port)

    uvloop.run(test())


def test_one_turn_of_the_loop_lets_in_more_than_one() -> None:
    async def test() -> int:
        made = []

        class Counted(Greeting):
            def connection_made(self, transport: Any) -> None:
                made.append(transport)
                super().connection_made(transport)

        door = Listener(Counted, "127.0.0.1", 0)
        waiting = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(20)]
        turns = 0
        while len(made) < 20:
            await asyncio.sleep(0)
            turns += 1
            assert turns < 1000
        door.close()
        for each in waiting:
            each.close()
        return turns

    assert uvloop.run(test()) < 20


def test_where_no_file_is_left_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_AGAIN_S", 0.01)

    async def test() -> None:
        door = Listener(Greeting, "127.0.0.1", 0)
        real, failures = door._socket, iter(range(3))

        class Full:
            def accept(self) -> tuple[socket.socket, object]:
                if next(failures, None) is not None:
                    raise OSError(errno.EMFILE, "too many open files")
                return real.accept()

            def fileno(self) -> int:
                return real.fileno()

            def close(self) -> None:
                real.close()

        monkeypatch.setattr(door, "_socket", Full())
        assert await greeted(door.port) == b"in"
        assert next(failures, None) is None
        door.close()

    asyncio.run(test())
