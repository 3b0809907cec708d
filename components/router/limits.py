"""What a client may send, and how long it may take."""

import resource
from dataclasses import dataclass

# English has about 4 bytes a token. Signs that are written as \uXXXX take 6 bytes each and are seldom less
# than half a token; beside the text stand tools, schemas and the JSON itself. So 32 is eight times the usual.
BYTES_PER_TOKEN = 32
LEAST_BODY_BYTES = 1 << 20
_OTHER_FILES = 64


@dataclass(frozen=True)
class Limits:
    """What one router takes.

    Attributes:
        max_header_bytes: Of one header, and of the request line.
        max_headers: How many headers a request may have.
        head_s: From the first byte of a request to the end of its headers.
        body_gap_s: Between two pieces of a body.
        body_s: For the whole body.
        send_s: For a client to take a piece of its answer; the engine works on it meanwhile.
        idle_s: Between two requests of a connection.
        max_connections: Open at a time; one more takes the place of the one that has been idle longest.
        max_held_bytes: Of all bodies together that are in memory, so that many large ones can't fill it.
    """

    max_header_bytes: int = 8190
    max_headers: int = 64
    head_s: float = 10.0
    body_gap_s: float = 10.0
    body_s: float = 120.0
    send_s: float = 60.0
    idle_s: float = 75.0
    max_connections: int = 4096
    max_held_bytes: int = 256 << 20


def max_body_bytes(max_model_len: int) -> int:
    """Return how long a body may be that a model of so many tokens can read."""
    return max(LEAST_BODY_BYTES, BYTES_PER_TOKEN * max_model_len)


def allow_open_files(connections: int) -> int:
    """Let this process open as many files as so many connections need; return how many it may have.

    Each has another one to a replica while it is answered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * connections + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    allowed = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return min(connections, (allowed - _OTHER_FILES) // 2)
