"""One streamed chat completion, measured: time to first token, gaps between tokens, and how it ended."""

import json
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import requests
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from urllib3.exceptions import NewConnectionError, ReadTimeoutError

from components.conversations import Prompt
from components.engine.api_keys import authorization, client_key
from components.web import NoRedirects, parse_address, quoted

UserClass = Literal["normal", "long"]

OK, REFUSED, TIMED_OUT, BROKEN_STREAM = "ok", "refused", "timed_out", "broken_stream"
CONNECT_TIMEOUT_S = 5.0
DETAIL_CHARS = 300
MAX_LINE_BYTES = 1 << 16  # one chunk of a completion is a hundredth of that


class ChatEndpoint(BaseModel):
    """What is asked, and of whom.

    Attributes:
        base_url: The OpenAI API without `/v1`.
        model_name: The model asked for.
        max_tokens: Length of each answer; vLLM's `ignore_eos` makes it exact.
        timeout_s: An answer that takes longer has failed.
    """

    model_config = ConfigDict(frozen=True)

    base_url: Annotated[str, AfterValidator(lambda text: str(parse_address(text)).rstrip("/"))]
    model_name: str
    max_tokens: int
    timeout_s: float


class RequestRecord(BaseModel):
    """One request as its user saw it.

    Attributes:
        user_class: Who asked.
        started_at: Seconds since the epoch.
        outcome: `ok`, `refused` (no connection), `timed_out`, `broken_stream` (cut off or malformed)
            or `http_<status>`.
        e2e_ms: From sending the request to the last byte, or to the failure.
        ttft_ms: From sending the request to the first text; None if there was none.
        gaps_ms: Times between chunks of text; one chunk is one token unless the server bundled some.
        prompt_tokens: As the server counted them under its chat template.
        output_tokens: As the server counted them; the number of chunks where it did not.
        detail: What went wrong.
    """

    user_class: UserClass = "normal"
    started_at: float
    outcome: str
    e2e_ms: float
    ttft_ms: float | None = None
    gaps_ms: list[float] = Field(default_factory=list)
    prompt_tokens: int | None = None
    output_tokens: int = 0
    detail: str = ""

    @property
    def ended_at(self) -> float:
        """Seconds since the epoch."""
        return self.started_at + self.e2e_ms / 1000

    @property
    def itl_ms(self) -> float | None:
        """Mean time between the tokens of the answer; None for fewer than two tokens."""
        if self.output_tokens < 2:
            return None
        return sum(self.gaps_ms) / (self.output_tokens - 1)


class _Session(NoRedirects, requests.Session):
    """A session that asks whom it was told to: key and prompts are for them, and so are the times."""


def new_session() -> requests.Session:
    """Open a session for one user; a new one per request would measure connection set-up."""
    session = _Session()
    session.trust_env = False  # a proxy or .netrc of this machine is no part of the service
    session.headers.update(authorization(client_key()))
    return session


def ask(
    session: requests.Session, endpoint: ChatEndpoint, prompt: Prompt, user_class: UserClass = "normal"
) -> RequestRecord:
    """Ask for one completion and measure its stream; a failure is a record too, never raised.

    The time limit holds between two bytes and for the whole answer, so that no request takes longer
    than twice `timeout_s`.
    """
    body: dict[str, Any] = {
        "model": endpoint.model_name,
        "messages": prompt.turns(for_api=True),
        "max_tokens": endpoint.max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if prompt.tools:
        # The prompt names them all the same; an engine without a parser of calls refuses any other choice.
        body |= {"tools": prompt.tools, "tool_choice": "none"}
    started_at, stream = time.time(), _Stream()
    try:
        with session.post(
            f"{endpoint.base_url}/v1/chat/completions",
            json=body,
            stream=True,
            timeout=(CONNECT_TIMEOUT_S, endpoint.timeout_s),
        ) as response:
            if response.status_code == 200:
                outcome, detail = stream.read(response, endpoint.timeout_s)
            else:
                outcome = f"http_{response.status_code}"
                detail = stream.beginning(response, endpoint.timeout_s).decode(errors="replace")
    except requests.RequestException as error:
        outcome, detail = _kind_of(error), f"{type(error).__name__}: {error}"
    return RequestRecord(
        user_class=user_class,
        started_at=started_at,
        outcome=outcome,
        e2e_ms=stream.elapsed_ms(),
        ttft_ms=stream.ttft_ms,
        gaps_ms=stream.gaps_ms,
        prompt_tokens=stream.prompt_tokens,
        output_tokens=stream.output_tokens,
        detail=quoted(detail, DETAIL_CHARS),
    )


class _Stream:
    """Server-sent events of one chat completion, timed as they arrive."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.last_ms = 0.0
        self.ttft_ms: float | None = None
        self.gaps_ms: list[float] = []
        self.prompt_tokens: int | None = None
        self.output_tokens = 0
        self.complete = False

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000

    def read(self, response: requests.Response, timeout_s: float) -> tuple[str, str]:
        """Read to the end and return outcome and detail."""
        for line in self._lines(response, timeout_s):
            if line is None:
                return TIMED_OUT, f"no complete answer within {timeout_s:g} s"
            if len(line) > MAX_LINE_BYTES:
                return BROKEN_STREAM, f"a line of more than {MAX_LINE_BYTES} bytes"
            if not line.startswith(b"data:"):
                continue
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                self.complete = True
                break
            try:
                self._event(json.loads(data))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                return BROKEN_STREAM, f"not a chat completion chunk: {data.decode(errors='replace')}"
        if not self.complete or self.ttft_ms is None:
            return BROKEN_STREAM, f"the stream ended after {self.output_tokens} tokens"
        return OK, ""

    def beginning(self, response: requests.Response, timeout_s: float) -> bytes:
        """Return as much of an answer as is told of it."""
        read = b""
        for byte in response.iter_content(chunk_size=1):
            read += byte
            if len(read) >= 4 * DETAIL_CHARS or self.elapsed_ms() > timeout_s * 1000:
                break
        return read

    def _lines(self, response: requests.Response, timeout_s: float) -> Iterator[bytes | None]:
        """Yield lines as they come, one that is too long as it stands then, and None when it is too late."""
        # Chunks are handed on as they arrive; a stream without chunks would wait for a full buffer.
        size = 8192 if response.raw.chunked else 1
        rest = bytearray()
        for piece in response.iter_content(chunk_size=size):
            if self.elapsed_ms() > timeout_s * 1000:
                yield None
            rest += piece
            if b"\n" in piece:
                *lines, end = bytes(rest).split(b"\n")
                rest = bytearray(end)
                yield from lines
            if len(rest) > MAX_LINE_BYTES:
                yield bytes(rest)
        yield bytes(rest)

    def _event(self, event: dict[str, Any]) -> None:
        if "error" in event:
            raise ValueError
        for choice in event["choices"]:
            text = choice["delta"].get("content")
            if not isinstance(text, str | None):
                raise TypeError
            # Servers open with an empty chunk that only names the role. Later empty chunks are
            # tokens without text, such as the end-of-turn token that ignore_eos goes past.
            if text or (text == "" and self.ttft_ms is not None):
                self._token()
        if usage := event.get("usage"):
            counts = usage["prompt_tokens"], usage["completion_tokens"]
            if not all(type(count) is int and 0 <= count < 1 << 31 for count in counts):
                raise TypeError
            self.prompt_tokens, self.output_tokens = counts

    def _token(self) -> None:
        now = self.elapsed_ms()
        if self.ttft_ms is None:
            self.ttft_ms = now
        else:
            self.gaps_ms.append(now - self.last_ms)
        self.last_ms = now
        self.output_tokens += 1


def _kind_of(error: requests.RequestException) -> str:
    cause = error.args[0] if error.args else None
    # A read that times out inside the body comes as a ConnectionError around urllib3's own error.
    if isinstance(error, requests.Timeout) or isinstance(cause, ReadTimeoutError):
        return TIMED_OUT
    if isinstance(getattr(cause, "reason", None), NewConnectionError):
        return REFUSED
    return BROKEN_STREAM
