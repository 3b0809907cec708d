"""Questions to a server over the OpenAI API: is the adapter there, does it answer, is it busy.

Whoever listens at the address may be anybody: an answer that is no such answer is none. Nothing here follows
a redirect or asks a proxy, so that a key goes to the address that was asked and to no other.
"""

import http.client
import json
import math
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from components.engine.api_keys import authorization
from components.errors import TunegateError
from components.web import parse_address, read_at_most

LIMIT_BYTES = 8 << 20  # vLLM's metrics, the longest of the answers, are a hundredth of that
_RUNNING = re.compile(rb"^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? +(\S+)", re.MULTILINE)


def is_up(url: str, timeout_s: float = 5.0) -> bool:
    """Return whether somebody answers that they are well."""
    return _ask(f"{url}/health", None, timeout_s) is not None


def lists_adapter(url: str, model_name: str, timeout_s: float = 5.0, key: str = "") -> bool:
    """Return whether `/v1/models` lists the adapter; a server that is not there doesn't."""
    listed = _parsed(_ask(f"{url}/v1/models", None, timeout_s, key)).get("data")
    return isinstance(listed, list) and any(
        isinstance(model, dict) and model.get("id") == model_name for model in listed
    )


def completes(url: str, model_name: str, timeout_s: float = 60.0, key: str = "") -> bool:
    """Return whether a completion of one token came back from the adapter."""
    question = {"model": model_name, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
    choices = _parsed(_ask(f"{url}/v1/completions", question, timeout_s, key)).get("choices")
    return isinstance(choices, list) and bool(choices) and all(isinstance(one, dict) for one in choices)


def requests_in_flight(url: str, timeout_s: float = 2.0) -> int:
    """Return how many requests a replica works on or has queued; 0 for one that is not there.

    What can't be read as a number counts as one request, so that nobody is cut off for it.
    """
    return sum(map(_count, _RUNNING.findall(_ask(f"{url}/metrics", None, timeout_s) or b"")))


def _count(written: bytes) -> int:
    try:
        number = float(written)
    except ValueError:
        return 1
    return math.ceil(number) if math.isfinite(number) and number >= 0 else 1


def _parsed(body: bytes | None) -> dict[str, Any]:
    """Return the object that an answer holds; empty for any other, as of somebody else's server."""
    try:
        answer = json.loads(body or b"")
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _ask(url: str, question: dict[str, Any] | None, timeout_s: float, key: str = "") -> bytes | None:
    """Return the whole body of an answer that says all is well; nothing for any other."""
    address = parse_address(url, schemes=("http",))
    connection = http.client.HTTPConnection(address.host.strip("[]"), address.port, timeout=timeout_s)
    body = None if question is None else json.dumps(question)
    headers = {"Content-Type": "application/json"} | authorization(key)
    try:
        connection.connect()
        with _ended_after(connection.sock, timeout_s):
            connection.request("GET" if body is None else "POST", address.path or "/", body, headers)
            response = connection.getresponse()
            answer = read_at_most(response, LIMIT_BYTES, address.shown)
            # A read of so many bytes takes an early end for the end.
            return answer if response.status == 200 and not response.length else None
    except (OSError, http.client.HTTPException, TunegateError):
        return None
    finally:
        connection.close()


@contextmanager
def _ended_after(connection: socket.socket, timeout_s: float) -> Iterator[None]:
    """End a connection that takes longer, whatever it is doing; a socket's own limit is for each byte.

    Raises:
        TimeoutError: It took longer, so that what was read may be a part.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        with suppress(OSError):  # it has ended by itself
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if late.is_set():
        raise TimeoutError
