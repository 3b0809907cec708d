"""What registries answer: read up to a limit, whatever they say of its length, and put into words."""

import json
from collections.abc import Iterator
from typing import Any

import requests
import urllib3.exceptions

from components.errors import InvalidInput, TunegateError
from components.storage import CHUNK_BYTES
from components.web import quoted, read_at_most

MAX_WORDS_BYTES = 64 << 10  # what errors and token servers have to say


class Body:
    """The body of a streamed answer, as a file.

    Read as it was sent: what a server calls encoded is not unpacked, as a blob's digest is over these bytes.
    """

    def __init__(self, answer: requests.Response) -> None:
        self._raw = answer.raw

    def read(self, size: int, /) -> bytes:
        """Return up to so many bytes, and none at the end.

        Raises:
            requests.RequestException: The answer breaks off.
        """
        try:
            # Not stream(): urllib3's own reading of chunks takes a chunk's header of any length.
            content: bytes = self._raw.read(size, decode_content=False)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(error) from error
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error
        return content

    def chunks(self) -> Iterator[bytes]:
        """Return all of it, piece by piece."""
        while chunk := self.read(CHUNK_BYTES):
            yield chunk


def discard(answer: requests.Response) -> None:
    """Read what nobody needs, so that the connection can be used again; an endless answer is cut off."""
    content = Body(answer)
    for _ in range(MAX_WORDS_BYTES // 4096):
        if not content.read(4096):
            break
    answer.close()


def said(answer: requests.Response) -> str:
    """Put an answer into words: the status and the registry's own messages."""
    status = quoted(f"{answer.status_code} {answer.reason}")
    try:
        errors = _parsed(answer, "")["errors"]
        messages = [str(error.get("message") or error["code"]) for error in errors]
    except (TunegateError, requests.RequestException, KeyError, TypeError, AttributeError):
        return status
    finally:
        answer.close()
    return f"{status}: {quoted('; '.join(messages))}"


def read_object(answer: requests.Response, what: str) -> dict[str, Any]:
    """Return the JSON object that an answer holds.

    Raises:
        InvalidInput: It holds none.
        TunegateError: It is too long.
    """
    try:
        found = _parsed(answer, what)
    finally:
        answer.close()
    if not isinstance(found, dict):
        raise InvalidInput(what, ["its answer is no JSON object; look at its log"])
    return found


def _parsed(answer: requests.Response, what: str) -> Any:
    try:
        return json.loads(read_at_most(Body(answer), MAX_WORDS_BYTES, what))
    except (ValueError, RecursionError) as error:  # the second for what is nested absurdly deep
        raise InvalidInput(
            what, [f"its answer is no JSON ({quoted(str(error))}); look at its log"]
        ) from error
