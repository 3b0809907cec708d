"""A transfer that breaks off goes on with the rest of the same file, or is told; nothing of two is mixed."""

import re
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from tenacity import wait_none

from components.errors import InvalidInput
from components.sources import transfer
from components.sources.content import open_source
from tests.hostile.odd_server import Answer, Asked, odd_server

pytestmark = pytest.mark.usefixtures("from_loopback")
ROWS = b"".join(b'{"prompt": "%d", "completion": "b"}\n' % n for n in range(80_000))
# What has arrived and is not read yet when a connection breaks is lost: some 100 kB.
LIMIT, PIECE = 1 << 24, 700_000
ETAG = {"ETag": '"one"'}
WRITTEN = {"Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "Date": "Thu, 01 Jan 2026 00:00:09 GMT"}
JUST_WRITTEN = {**WRITTEN, "Date": WRITTEN["Last-Modified"]}


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "RETRY_WAIT", wait_none())


def start_of(asked: Asked) -> int:
    found = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
    return int(found[1]) if found else 0


def piece(start: int, headers: dict[str, str], content: bytes = ROWS, size: int = PIECE) -> Answer:
    """Send a piece of what is promised from a place on, and break off."""
    rest = content[start:]
    told = {"Content-Length": str(len(rest)), **headers}
    if start:
        told["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Answer(rest[:size], status=206 if start else 200, headers=told)


def read(url: str) -> bytes:
    with open_source(f"{url}/rows.jsonl", LIMIT) as file:
        return b"".join(iter(file.read, b""))


def refused(url: str) -> str:
    with pytest.raises(InvalidInput) as told:
        read(url)
    (problem,) = told.value.problems
    return problem


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Asked], Answer]], tuple[str, list[Asked]]]]:
    """Run a server whose answers depend on all of a request."""
    from contextlib import ExitStack

    with ExitStack() as servers:

        def run(respond: Callable[[Asked], Answer]) -> tuple[str, list[Asked]]:
            asked: list[Asked] = []
            url = servers.enter_context(odd_server(lambda path, body: respond(asked[-1]), asked))
            return url, asked

        yield run


@pytest.mark.parametrize("version", [ETAG, WRITTEN], ids=["by its ETag", "by when it was written"])
def test_it_goes_on_where_it_broke_off(serve, version: dict[str, str]):
    url, asked = serve(lambda one: piece(start_of(one), version))
    assert read(url) == ROWS
    starts = [start_of(one) for one in asked]
    assert len(asked) > 3 and starts == sorted(starts) and starts[1] > 0
    wanted = version.get("ETag") or version["Last-Modified"]
    assert {one.headers.get("if-range") for one in asked[1:]} == {wanted}
    assert "range" not in asked[0].headers


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        pytest.param(
            ETAG,
            lambda start: Answer(b"x" * len(ROWS), headers={"ETag": '"two"'}),
            "meanwhile the file has changed; nothing of it was kept",
            id="another file, from its beginning",
        ),
        pytest.param(
            ETAG,
            lambda start: piece(start, {"ETag": '"two"'}),
            "meanwhile the file has changed",
            id="the rest of another file",
        ),
        pytest.param(
            ETAG,
            lambda start: piece(start, {}),
            "meanwhile the file has changed",
            id="the rest of it does not say what",
        ),
        pytest.param(
            ETAG,
            lambda start: piece(start - 1, ETAG),
            "meanwhile the file has changed",
            id="from another place on",
        ),
        pytest.param(
            ETAG,
            lambda start: piece(start, ETAG, ROWS + b"{}"),
            "meanwhile the file has changed",
            id="of another length",
        ),
        pytest.param(
            ETAG,
            lambda start: Answer(ROWS[start:], status=206, headers=ETAG),
            "meanwhile the file has changed",
            id="the place is not told",
        ),
        pytest.param(
            ETAG,
            lambda start: Answer(ROWS, headers=ETAG),
            "its server sends nothing but the whole again",
            id="a server without ranges",
        ),
        pytest.param(ETAG, lambda start: Answer(status=416), "answers 416", id="it is shorter now"),
        pytest.param(ETAG, lambda start: Answer(status=403), "answers 403", id="it may not be read any more"),
        pytest.param(ETAG, lambda start: Answer(status=503), "answers 503", id="a server in trouble"),
        pytest.param(ETAG, lambda start: Answer(raw=b""), "the connection broke off", id="nothing more"),
        pytest.param({}, lambda start: piece(start, {}), "the connection broke off", id="nothing to tell by"),
        pytest.param(
            {"ETag": 'W/"one"'},
            lambda start: piece(start, {"ETag": 'W/"one"'}),
            "the connection broke off",
            id="an ETag of files that differ",
        ),
        pytest.param(
            JUST_WRITTEN,
            lambda start: piece(start, JUST_WRITTEN),
            "the connection broke off",
            id="it was written in that second",
        ),
    ],
)
def test_what_is_not_the_rest_of_it_is_told(
    serve, first: dict[str, str], then: Callable[[int], Answer], words: str
):
    url, _ = serve(lambda one: then(start_of(one)) if "range" in one.headers else piece(0, first))
    assert words in refused(url)


def test_trouble_between_two_pieces_passes(serve):
    turns = count()
    url, asked = serve(lambda one: Answer(status=503) if next(turns) % 2 else piece(start_of(one), ETAG))
    assert read(url) == ROWS
    assert len(asked) >= 3


def test_a_file_that_breaks_off_for_ever_is_given_up(serve, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transfer, "MAX_BREAKS", 3)
    url, asked = serve(lambda one: piece(start_of(one), ETAG, size=10))
    assert "the connection broke off" in refused(url)
    assert len(asked) == 4


def test_one_that_hardly_moves_is_given_up(serve, monkeypatch: pytest.MonkeyPatch):
    def each_read_takes(seconds: float) -> None:
        ticks = count()
        monkeypatch.setattr(transfer, "CLOCK", lambda: next(ticks) * seconds)

    each_read_takes(0.001)
    url, _ = serve(lambda one: Answer(ROWS))
    assert read(url) == ROWS
    each_read_takes(transfer.PACE_WINDOW_S)
    url, _ = serve(lambda one: Answer(b"a", headers={"Content-Length": ""}, repeated=b"a", pause_s=0.01))
    assert "less than 1,024 a second" in refused(url)


def test_one_that_takes_too_long_in_all_is_given_up(serve, monkeypatch: pytest.MonkeyPatch):
    ticks = count()
    monkeypatch.setattr(transfer, "CLOCK", lambda: next(ticks) * 60.0)  # for each piece, so that it does move
    monkeypatch.setattr(transfer, "SLOWEST_BYTES_S", 0)
    monkeypatch.setattr(transfer, "LONGEST_S", 3600)
    url, _ = serve(lambda one: Answer(b"a", headers={"Content-Length": ""}, repeated=b"a", pause_s=0.01))
    assert "bytes in 1.0 hours, over 1, the longest wait" in refused(url)


def test_a_rest_that_says_less_than_the_file_is_not_taken_for_its_end(serve):
    def answer(asked: Asked) -> Answer:
        start = start_of(asked)
        if not start:
            return piece(0, ETAG)
        part = ROWS[start : start + 1000]  # whole by its own account, each time
        end = f"bytes {start}-{start + len(part) - 1}/{len(ROWS)}"
        return Answer(
            part, status=206, headers={**ETAG, "Content-Range": end, "Content-Length": str(len(part))}
        )

    url, _ = serve(answer)
    assert re.fullmatch(r"ended after [\d,]+ of [\d,]+ bytes; try again", refused(url))
