"""Who may ask a model: one key a user, kept as files in a directory, which is what a mounted Secret is.

vLLM loads `RequireKey` (`--middleware`) where `TUNEGATE_API_KEYS` names such a directory. A key that is
added, changed or deleted counts within a second; nothing is restarted for it. Names with a leading dot are
no users: the kubelet keeps its own links under such names.
"""

import hashlib
import hmac
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from components.errors import InvalidInput

DIRECTORY_VARIABLE, KEY_VARIABLE = "TUNEGATE_API_KEYS", "TUNEGATE_API_KEY"
MIDDLEWARE = "components.engine.api_keys.RequireKey"
OPEN_PATHS = ("/health", "/metrics")  # probes and monitoring; they tell nothing of anyone's prompts
REREAD_S = 1.0
KEY = re.compile(rb"[!-~]+")  # what a header can carry

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Stamp = tuple[str, int, int, int]

_REFUSAL = {
    "error": {
        "message": "No API key, or one that is not known here. Send the header 'Authorization: Bearer KEY'.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_api_key",
    }
}
REFUSAL = json.dumps(_REFUSAL).encode()


class ApiKeys:
    """The keys in a directory; one that is not there or holds none lets nobody in.

    Args:
        directory: A file for each user, named like them, with their key as its content.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._keys: list[bytes] = []
        self._stamps: list[Stamp] | None = None
        self._looked_s = -REREAD_S

    def allow(self, path: str, authorization: bytes) -> bool:
        """Return whether a request may pass, by its path and the value of its Authorization header."""
        if path in OPEN_PATHS:
            return True
        scheme, _, key = authorization.partition(b" ")
        return scheme.lower() == b"bearer" and self._known(key.strip())

    def any_key(self) -> str:
        """Return one of the keys, for questions of our own.

        Raises:
            InvalidInput: There is none.
        """
        self._reread()
        if not self._keys:
            problem = "holds no key, so nobody is let in; add a file for each user with their key in it"
            raise InvalidInput(str(self._directory), [problem])
        return self._keys[0].decode()

    def _known(self, key: bytes) -> bool:
        """Compare with every key, in a time that tells nothing about any of them."""
        if time.monotonic() - self._looked_s >= REREAD_S:
            self._reread()
        asked, known = hashlib.sha256(key).digest(), False
        for own in self._keys:
            known |= hmac.compare_digest(asked, hashlib.sha256(own).digest())
        return known

    def _reread(self) -> None:
        """Read the keys again where a file has changed."""
        self._looked_s = time.monotonic()
        try:
            files = [path for path in sorted(self._directory.iterdir()) if path.name[0] != "."]
            stamps = [_stamp(path) for path in files]
            if stamps == self._stamps:
                return
            found = [path.read_bytes().strip() for path in files if path.is_file()]
        except OSError:  # changed just now, or taken away: whoever was let in by it no longer is
            self._stamps, self._keys = None, []
            return
        self._stamps, self._keys = stamps, [key for key in found if KEY.fullmatch(key)]


class RequireKey:
    """ASGI middleware that answers 401, in OpenAI's words, to whoever has no key.

    Args:
        app: What is protected.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._keys = ApiKeys(Path(os.environ[DIRECTORY_VARIABLE]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass."""
        # Not asked: the server's own start and end, and browsers before they ask in earnest.
        if scope["type"] not in ("http", "websocket") or scope.get("method") == "OPTIONS":
            return await self._app(scope, receive, send)
        sent: bytes = dict(scope["headers"]).get(b"authorization", b"")
        if self._keys.allow(scope["path"], sent):
            return await self._app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(REFUSAL)).encode()),
            (b"www-authenticate", b"Bearer"),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        return await send({"type": "http.response.body", "body": REFUSAL})


def client_key() -> str:
    """Return the key that this process asks with; empty where models are open.

    It is the setting `api_key`; on the machine that serves, one of those that it lets in will do.

    Raises:
        InvalidInput: The directory of keys holds none, or the own one can't be sent.
    """
    from components.settings import load_settings

    settings = load_settings()
    if own := settings.api_key.get_secret_value().strip():
        if not KEY.fullmatch(own.encode()):
            raise InvalidInput(KEY_VARIABLE, ["has a space or another sign that no key can have"])
        return own
    return ApiKeys(Path(settings.api_keys)).any_key() if settings.api_keys else ""


def models_want_keys() -> bool:
    """Return whether this process is set up to ask with a key."""
    from components.settings import load_settings

    settings = load_settings()
    return bool(settings.api_keys or settings.api_key.get_secret_value())


def authorization(key: str) -> dict[str, str]:
    """Return the headers that show a key; none for an empty one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


def _stamp(path: Path) -> Stamp:
    found = path.stat()  # of what a link leads to: the kubelet changes keys by way of links
    return path.name, found.st_ino, found.st_mtime_ns, found.st_size
