"""What a client sends is bounded before it is read: body, headers, the time they take, connections."""

import asyncio
import gc
import gzip
import socket
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress

import pytest

from components.router.limits import BYTES_PER_TOKEN, LEAST_BODY_BYTES, Limits, max_body_bytes
from tests.components.router.running import Answer, Running, request, routed

SMALL = 1000
CHAT = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("tokens", "wanted"),
    [(256, 1 << 20), (2048, 1 << 20), (32768, 1 << 20), (131072, 4 << 20), (1 << 20, 32 << 20)],
)
def test_a_body_is_as_long_as_the_model_can_read(tokens: int, wanted: int) -> None:
    assert max_body_bytes(tokens) == wanted == max(LEAST_BODY_BYTES, BYTES_PER_TOKEN * tokens)


def test_a_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    async def test(run: Running) -> None:
        for length in (SMALL + 1, 10**15):
            answer = await run.send(CHAT + b"Content-Length: %d\r\n\r\n" % length)

            assert (answer.status, answer.error["code"]) == (413, "request_too_large")
            assert str(length) in answer.error["message"]
            assert str(SMALL) in answer.error["message"]
        assert run.upstreams[0].asked == run.upstreams[1].asked == []

    routed(test, max_body_bytes=SMALL)


def test_whoever_waits_to_be_let_in_is_refused_before_sending() -> None:
    async def test(run: Running) -> None:
        head = CHAT + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"
        assert (await run.send(head % (SMALL + 1))).status == 413

        body = request("stream").partition(b"\r\n\r\n")[2]
        reader, writer = await run.open()
        writer.write(head % len(body))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert Answer.of(await reader.read()).status == 200
        writer.close()
        assert (await run.send(CHAT + b"Expect: a-miracle\r\nContent-Length: 2\r\n\r\n{}")).status == 417

    routed(test, max_body_bytes=SMALL)


def test_chunks_are_counted_while_they_come() -> None:
    """An endless body is ended at the limit; nothing waits for its last chunk."""

    async def test(run: Running) -> None:
        reader, writer = await run.open()
        writer.write(CHAT + b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            writer.write(b"190\r\n" + b"x" * 400 + b"\r\n")
        answer = Answer.of(await asyncio.wait_for(reader.read(), 20))

        assert (answer.status, answer.error["code"]) == (413, "request_too_large")
        assert f"more than {SMALL}" in answer.error["message"]
        writer.close()
        assert run.upstreams[0].asked == run.upstreams[1].asked == []

        whole = request("stream").partition(b"\r\n\r\n")[2].ljust(SMALL)
        exact = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (SMALL, whole)
        assert (await run.send(CHAT + exact)).status == 200

    routed(test, max_body_bytes=SMALL)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
def test_a_compressed_body_is_not_unpacked(encoding: str) -> None:
    async def test(run: Running) -> None:
        bomb = gzip.compress(bytes(10 << 20))
        head = CHAT + f"Content-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
        answer = await run.send(head + bomb)

        assert (answer.status, answer.error["code"]) == (415, "unsupported_encoding")
        assert run.upstreams[0].asked == []

    routed(test)


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"x" * 9000 + b"\r\n",
        b"X" * 9000 + b": x\r\n",
        b"".join(b"X-%d: x\r\n" % n for n in range(200)),
    ],
    ids=["long", "long name", "many"],
)
def test_headers_are_limited(headers: bytes) -> None:
    async def test(run: Running) -> None:
        answer = await run.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n")

        assert (answer.status, answer.error["code"]) == (431, "headers_too_large")
        assert "at most 64" in answer.error["message"]

    routed(test)


def test_endless_headers_end_the_connection() -> None:
    async def test(run: Running) -> None:
        reader, writer = await run.open()
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nCookie: ")
        with suppress(ConnectionError):  # the answer may be lost: it comes while a lot is unread
            for _ in range(1000):
                writer.write(b"x" * 10_000)
                await writer.drain()
            raise AssertionError("ten megabytes of headers were taken")
        with suppress(ConnectionError):
            assert Answer.of(await asyncio.wait_for(reader.read(), 20)).status in (0, 431)
        writer.close()

    routed(test)


def test_the_first_line_is_limited() -> None:
    async def test(run: Running) -> None:
        answer = await run.send(b"GET /v1/models?" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")

        assert (answer.status, answer.error["code"]) == (431, "headers_too_large")

    routed(test)


@pytest.mark.parametrize("nth", [1, 2], ids=["a connection's first", "a later one"])
def test_headers_that_drip_are_cut_off(nth: int) -> None:
    async def test(run: Running) -> None:
        reader, writer = await run.open()
        if nth == 2:
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        began = time.monotonic()

        async def drip() -> None:
            for byte in b"GET /v1/models HTTP/1.1\r\nX: " + b"x" * 10_000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        dripping = asyncio.ensure_future(drip())
        said = b""
        with suppress(ConnectionResetError):  # what it goes on sending meets a closed connection
            while chunk := await asyncio.wait_for(reader.read(1 << 16), 20):
                said += chunk
        answer = Answer.of(said)
        dripping.cancel()

        assert (answer.status, answer.error["code"]) == (408, "request_timeout")
        assert "0.3 s" in answer.error["message"]
        assert time.monotonic() - began >= 0.3
        writer.close()

    routed(test, limits=Limits(head_s=0.3))


@pytest.mark.parametrize(
    "limits", [Limits(body_gap_s=0.2), Limits(body_s=0.4)], ids=["between two pieces", "all of it"]
)
def test_a_body_that_drips_is_cut_off(limits: Limits) -> None:
    async def test(run: Running) -> None:
        reader, writer = await run.open()
        writer.write(CHAT + b"Content-Length: 500\r\n\r\n")

        async def drip() -> None:
            for _ in range(100):
                writer.write(b"x")
                await asyncio.sleep(0.05 if limits.body_s == 0.4 else 5)

        dripping = asyncio.ensure_future(drip())
        answer = Answer.of(await asyncio.wait_for(reader.read(), 20))
        dripping.cancel()

        assert (answer.status, answer.error["code"]) == (408, "request_timeout")
        assert run.upstreams[0].asked == []
        writer.close()

    routed(test, limits=limits)


def test_a_connection_without_a_request_ends() -> None:
    async def test(run: Running) -> None:
        reader, writer = await run.open()

        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()

    routed(test, limits=Limits(idle_s=0.2))


def test_idle_connections_give_way_and_busy_ones_do_not() -> None:
    async def test(run: Running) -> None:
        busy, busy_writer = await run.open()
        busy_writer.write(request("wait before"))
        while not run.upstreams[0].asked:
            await asyncio.sleep(0.01)
        idle = [await run.open() for _ in range(3)]
        await until(lambda: len(run.router._server.idle) == 3)

        assert (await run.chat("stream")).status == 200  # a fifth one: the oldest idle one gave way
        assert await asyncio.wait_for(idle[0][0].read(), 10) == b""

        more = [await run.open() for _ in range(3)]
        for _, writer in more:
            writer.write(b"GET /v1/models HTTP/1.1\r\n")  # none of them is idle
        await until(lambda: not run.router._server.idle)
        answer = await run.send(b"")
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        run.upstreams[0].go_on.set()
        assert Answer.of(await asyncio.wait_for(busy.read(), 10)).status == 200
        for _, writer in [(busy, busy_writer), *idle, *more]:
            writer.close()

    routed(test, limits=Limits(max_connections=4))


def test_a_burst_of_connections_leaves_no_more_than_there_may_be() -> None:
    async def test(run: Running) -> None:
        idle = [await run.open() for _ in range(4)]
        await until(lambda: len(run.router._server.idle) == 4)
        burst = []
        for _ in range(12):  # the kernel opens them; the router sees all at once
            burst.append(socket.create_connection(("127.0.0.1", run.port)))
        gone = [asyncio.ensure_future(reader.read()) for reader, _ in idle]
        await asyncio.wait_for(asyncio.gather(*gone), 10)

        await until(lambda: len(run.router._server.connections) <= 4)
        for opened in burst:
            opened.close()
        for _, writer in idle:
            writer.close()

    routed(test, limits=Limits(max_connections=4))


def test_a_body_is_held_no_longer_than_somebody_may_be_asked() -> None:
    async def test(run: Running) -> None:
        streams = 8
        opened = [await run.open() for _ in range(streams)]
        tracemalloc.start()
        for reader, writer in opened:
            whole = request("wait after-text")
            body = whole.partition(b"\r\n\r\n")[2] + b" " * (LEAST_BODY_BYTES - 4096)
            writer.write(CHAT + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            await asyncio.wait_for(reader.readuntil(b"half"), 20)
            del body
        for upstream in run.upstreams:
            upstream.requests.clear()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert held < 2 * LEAST_BODY_BYTES, held
        for upstream in run.upstreams:
            upstream.go_on.set()
        for _, writer in opened:
            writer.close()

    routed(test)


def test_many_bodies_together_do_not_fill_the_memory() -> None:
    async def test(run: Running) -> None:
        opened = [await run.open() for _ in range(3)]
        for _, writer in opened[:2]:
            writer.write(CHAT + b"Content-Length: 900\r\n\r\n" + b"x" * 800)
        await until(lambda: run.router._forwarder._held._taken == 1600)
        reader, writer = opened[2]
        writer.write(CHAT + b"Content-Length: 900\r\n\r\n" + b"x" * 800)
        answer = Answer.of(await asyncio.wait_for(reader.read(), 20))

        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        for _, writer in opened:
            writer.close()
        await until(lambda: run.router._forwarder._held._taken == 0)
        assert (await run.chat("stream")).status == 200

    routed(test, limits=Limits(max_held_bytes=2000))


def test_broken_chunks_are_said() -> None:
    async def test(run: Running) -> None:
        answer = await run.send(CHAT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")

        assert answer.status == 400
        assert answer.error["type"] == "invalid_request_error"
        assert run.upstreams[0].asked == []

    routed(test)


def test_a_client_that_does_not_read_its_answer_frees_the_engine() -> None:
    async def test(run: Running) -> None:
        reader, writer = await run.open()
        writer.write(request("flood"))
        await reader.read(1)

        await asyncio.wait_for(run.upstreams[0].cancelled.wait(), 20)
        counted = await run.series("tunegate_router_requests_total")
        assert counted['{outcome="client_gone",route="/v1/chat/completions"}'] == 1
        assert (await run.series("tunegate_router_connections"))[""] == 0
        writer.close()

    routed(test, limits=Limits(send_s=0.3))
