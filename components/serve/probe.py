"""Questions to a server over the OpenAI API: is the adapter there, does it answer, is it busy."""

import json
import re
import urllib.error
import urllib.request
from typing import Any

from components.engine.api_keys import authorization

# A proxy that the environment names is for the world outside: loopback is asked directly.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_RUNNING = re.compile(rb"^vllm:num_requests_(?:running|waiting)(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


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
    return bool(_parsed(_ask(f"{url}/v1/completions", question, timeout_s, key)).get("choices"))


def requests_in_flight(url: str, timeout_s: float = 2.0) -> int:
    """Return how many requests a replica works on or has queued; 0 for one that is not there."""
    body = _ask(f"{url}/metrics", None, timeout_s)
    return sum(int(float(count)) for count in _RUNNING.findall(body or b""))


def _parsed(body: bytes | None) -> dict[str, Any]:
    """Return the object that an answer holds; empty for any other, as of somebody else's server."""
    try:
        answer = json.loads(body or b"")
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _ask(url: str, question: dict[str, Any] | None, timeout_s: float, key: str = "") -> bytes | None:
    data = None if question is None else json.dumps(question).encode()
    headers = {"Content-Type": "application/json"} | authorization(key)
    request = urllib.request.Request(url, data, headers)
    try:
        with _opener.open(request, timeout=timeout_s) as response:
            answer: bytes = response.read()
            return answer
    except (OSError, urllib.error.HTTPError):
        return None
