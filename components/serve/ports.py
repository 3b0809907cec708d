"""Ports of this machine: free ones, and who holds one that is taken."""

import hashlib
import random
import socket
from collections.abc import Collection
from pathlib import Path

from components.errors import TunegateError

LOOPBACK = "127.0.0.1"
FIRST_PORT = 20000
_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port(taken: Collection[int], wish: int | None = None) -> int:
    """Return a port on the loopback address that nobody listens on.

    Ports are taken from below the range out of which the system gives ports to outgoing connections
    (and to servers that ask for port 0): a replica comes back to its port after a crash under load,
    and no connection of a load generator may have been given it meanwhile.

    Args:
        taken: Ports promised to others that may not be listening yet.
        wish: The port to try first.
    """
    above_last = _first_ephemeral_port()
    start = wish if wish is not None else random.randrange(FIRST_PORT, above_last)
    for offset in range(above_last - FIRST_PORT):
        port = FIRST_PORT + (start - FIRST_PORT + offset) % (above_last - FIRST_PORT)
        if port not in taken and is_free(port):
            return port
    raise TunegateError(
        f"no free port from {FIRST_PORT} to {above_last - 1}: end a server that is not needed"
    )


def steady_port(name: str, taken: Collection[int]) -> int:
    """Return a free port that depends on a name, so that others are unlikely to pick the same."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
    return free_port(taken, wish=FIRST_PORT + number % (_first_ephemeral_port() - FIRST_PORT))


def _first_ephemeral_port() -> int:
    try:
        first = int(_RANGE_FILE.read_text(encoding="ascii").split()[0])
    except OSError:  # not Linux
        first = 32768
    # A machine may be set up to hand out nearly all ports; then there is no safer part.
    return first if first >= FIRST_PORT + 1000 else 32768


def is_free(port: int) -> bool:
    """Return whether a server could listen on a loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier server that are still being closed don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Name the process that listens on a port, for an error that a person reads."""
    import psutil

    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "a process that only the administrator can see"
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
            continue
        if connection.laddr.port == port:
            try:
                process = psutil.Process(connection.pid)
                command = " ".join(" ".join(process.cmdline()).split())
                return f"process {connection.pid} ({command[:120] or process.name()})"
            except psutil.Error:
                break
    return "another user's process"
