"""A file that arrives by http or https: gone on with where it broke off, given up where it hardly moves."""

import re
import time
from email.utils import parsedate_to_datetime
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from components.errors import InvalidInput
from components.sources.address import Source
from components.sources.client import make_client
from components.sources.failures import may_pass

# So often a file may break off, and so often its server is asked to go on each time.
MAX_BREAKS, ATTEMPTS = 20, 4
RETRY_WAIT = wait_random_exponential(multiplier=1, max=30)
# Of the time that is spent waiting for bytes; whoever reads them may take as long as it takes.
PACE_WINDOW_S, SLOWEST_BYTES_S = 300, 1 << 10
LONGEST_S = 24 * 3600  # in all: at the slowest pace, the largest files would take years
CLOCK = time.monotonic


class Transfer:
    """What a server sends, byte by byte as if it had never broken off.

    It is gone on with only where the server says that the rest is of the same content: by its ETag or by
    when it was last modified (RFC 9110, 13.1.5). Otherwise it is an error, and nothing of two files is mixed.

    Attributes:
        size: Its length, where the server tells it.
        encoding: How the server has packed it for the way; empty if it has not.
    """

    def __init__(self, source: Source) -> None:
        from fsspec import filesystem

        self._source, self._client = source, filesystem(source.scheme, get_client=make_client)
        self._file = self._open({})
        self.size: int | None = self._file.r.content_length
        self.encoding = self._file.r.headers.get("Content-Encoding", "").strip().lower()
        self._version, self._etag = _version(self._file.r.headers), self._file.r.headers.get("ETag", "")
        self._position = self._breaks = self._window_bytes = 0
        self._window_s = self._waited_s = 0.0

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, and none at the end.

        Raises:
            InvalidInput: It broke off and can't be gone on with, hardly moves, or takes too long in all.
            Exception: What the client says of a connection that broke for good.
        """
        while True:
            began = CLOCK()
            try:
                chunk: bytes = self._file.read(size)
            except Exception as error:
                if not may_pass(error) or not self._version or self._breaks >= MAX_BREAKS:
                    raise
                self._breaks += 1
                self._go_on()
                continue
            self._position += len(chunk)
            self._check_pace(len(chunk), CLOCK() - began)
            if chunk or not size or self.size is None or self._position >= self.size:
                return chunk
            # Its end is not that of the file: an answer to a request for the rest may say less than that.
            if not self._version or self._breaks >= MAX_BREAKS:
                why = f"ended after {self._position:,} of {self.size:,} bytes; try again"
                raise InvalidInput(self._source.shown, [why])
            self._breaks += 1
            self._go_on()

    def close(self) -> None:
        """Ask for no more."""
        self._file.close()

    def _open(self, headers: dict[str, str]) -> Any:
        # One request for the whole; with a size given, none for the size, which signed addresses refuse.
        return self._client.open(self._source.target, "rb", block_size=0, size=1, headers=headers)

    def _go_on(self) -> None:
        self._file.close()
        self._file = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=RETRY_WAIT,
            retry=retry_if_exception(may_pass),
            reraise=True,
        )(self._open_rest)

    def _open_rest(self) -> Any:
        file = self._open({"Range": f"bytes={self._position}-", "If-Range": self._version})
        if problem := self._problem(file.r):
            file.close()
            raise InvalidInput(self._source.shown, [problem])
        return file

    def _problem(self, answer: Any) -> str:
        """Say why an answer is not the rest of the file; nothing if it is."""
        broke_off = f"the connection broke off after {self._position:,} bytes"
        same = answer.headers.get("ETag", "") == self._etag
        if not self._position and answer.status == 200 and same and answer.content_length == self.size:
            return ""
        if answer.status != 206 and same and self._etag:
            return f"{broke_off}, and its server sends nothing but the whole again; try again"
        found = re.fullmatch(
            r"bytes (\d{1,19})-\d{1,19}/(\d{1,19}|\*)", answer.headers.get("Content-Range", "")
        )
        start, whole = (int(found[1]), found[2]) if found else (-1, "")
        fits = start == self._position and (self.size is None or whole in ("*", str(self.size)))
        if answer.status != 206 or not same or not fits:
            return f"{broke_off}, and meanwhile the file has changed; nothing of it was kept, try again"
        return ""

    def _check_pace(self, size: int, took_s: float) -> None:
        self._window_bytes += size
        self._window_s += took_s
        self._waited_s += took_s
        if self._waited_s > LONGEST_S:
            raise InvalidInput(
                self._source.shown,
                [
                    f"has sent {self._position:,} bytes in {self._waited_s / 3600:,.1f} hours, over "
                    f"{LONGEST_S / 3600:g}, the longest wait; split it, or fetch it beforehand and name "
                    "the copy"
                ],
            )
        if self._window_s < PACE_WINDOW_S:
            return
        if self._window_bytes < self._window_s * SLOWEST_BYTES_S:
            raise InvalidInput(
                self._source.shown,
                [
                    f"has sent {self._window_bytes:,} bytes in {self._window_s:,.0f} s, less than "
                    f"{SLOWEST_BYTES_S:,} a second; try again later, or from another server"
                ],
            )
        self._window_bytes, self._window_s = 0, 0.0


def _version(headers: Any) -> str:
    """Return what a server knows a file's very bytes by; empty if it tells nothing of the kind."""
    etag: str = headers.get("ETag", "")
    if etag.startswith('"'):  # a weak one (W/"...") stands for files that differ
        return etag
    changed: str = headers.get("Last-Modified", "")
    try:
        age = parsedate_to_datetime(headers.get("Date", "")) - parsedate_to_datetime(changed)
    except (TypeError, ValueError):
        return ""
    # In the second in which it was written, it may be written again.
    return changed if age.total_seconds() >= 1 and not etag else ""
