"""What the router itself answers, in OpenAI's form."""

import json
from collections.abc import Mapping

from aiohttp import web

CLIENTS, OURS = "invalid_request_error", "server_error"
# In place of aiohttp's own, which tells its version and Python's.
SERVER = "tunegate"


class Refused(Exception):
    """A request is not passed on; holds what its client is told.

    Args:
        status: Of the answer.
        code: Short, for programs.
        message: For people: what is wrong, the value, the limit, what to do.
        headers: Further ones of the answer.
        close: Whether the connection ends with it, because something of the request was not read.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers, self.close = dict(headers or {}), close

    def content(self) -> bytes:
        """Return the body of the answer."""
        return json.dumps(error_object(self.status, self.code, self.message)).encode()

    def response(self) -> web.Response:
        """Return the answer."""
        response = web.Response(
            status=self.status,
            body=self.content(),
            content_type="application/json",
            headers=self.headers | {"Server": SERVER},
        )
        if self.close:
            response.force_close()
        return response

    def raw(self, reason: str) -> bytes:
        """Return the answer as bytes, for a connection whose request was never read."""
        content = self.content()
        head = (
            f"HTTP/1.1 {self.status} {reason}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\nServer: {SERVER}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + content


def error_object(status: int, code: str, message: str) -> dict[str, object]:
    """Return an error as OpenAI's clients know it."""
    kind = OURS if status >= 500 else CLIENTS
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
