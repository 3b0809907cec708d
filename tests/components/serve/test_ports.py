import os
import socket
from collections.abc import Iterator

import pytest

from components.serve import ports


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_is_listened_on_is_not_free(listening: int) -> None:
    assert not ports.is_free(listening)


def test_the_holder_of_a_port_is_named(listening: int) -> None:
    assert f"process {os.getpid()}" in ports.holder(listening)
    assert "pytest" in ports.holder(listening)


def test_a_wish_is_granted_unless_the_port_is_taken_or_promised() -> None:
    wish = ports.free_port(set())

    assert ports.free_port(set(), wish) == wish
    assert ports.free_port({wish}, wish) != wish
    with socket.socket() as server:
        server.bind(("127.0.0.1", wish))
        server.listen()
        assert ports.free_port(set(), wish) not in (wish, None)


def test_outgoing_connections_are_never_given_such_a_port() -> None:
    first_outgoing = ports._first_ephemeral_port()

    assert all(ports.FIRST_PORT <= ports.free_port(set()) < first_outgoing for _ in range(50))


def test_a_steady_port_depends_on_the_name_alone() -> None:
    assert ports.steady_port("/home/a", set()) == ports.steady_port("/home/a", set())
    assert ports.steady_port("/home/a", set()) != ports.steady_port("/home/b", set())
