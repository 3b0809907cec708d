"""What the router costs a request: time to the first token and processor seconds, against asking directly.

    python tests/bench/bench_router.py

Two loopback servers stream answers of known times; 100 streams run at a time, half of them through the
router and half directly, in one run, so that whatever else the machine does disturbs both alike. The router
is a process of its own, as it is in a deployment.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import uvloop

from components.checks import at_most
from components.router.orders import RouterConfig, command
from components.serve.ports import free_port

STREAMS, ROUNDS = 100, 12
FIRST_MS, GAP_MS, TOKENS = 200.0, 50.0, 10
WANTED_MS = 1.0
QUESTION = json.dumps(
    {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello there"}]}
).encode()


def main() -> int:
    """Measure, print, and fail if the router adds more than a millisecond at the median."""
    with (
        tempfile.TemporaryDirectory() as folder,
        servers() as urls,
        router(Path(folder), urls) as (url, process),
    ):
        before, began = processor_s(process), time.monotonic()
        direct, routed = uvloop.run(measure(urls, url))
        seconds, wall = processor_s(process) - before, time.monotonic() - began
    answers = len(routed)
    print(
        f"{STREAMS} streams at a time, {answers} answers each way, {TOKENS} tokens, first at {FIRST_MS:g} ms"
    )
    print("                     first token, ms: median      p95      max")
    for name, found in (("direct", direct), ("through the router", routed)):
        found.sort()
        p95 = found[int(len(found) * 0.95)]
        print(f"{name:<33}{statistics.median(found):14.2f}{p95:9.2f}{found[-1]:9.2f}")
    events = answers * (TOKENS + 4)
    print(
        f"router's processor: {seconds:.2f} s in {wall:.1f} s, {seconds / answers * 1e3:.2f} ms an answer, "
        f"{seconds / events * 1e6:.0f} us an event"
    )
    added = statistics.median(routed) - statistics.median(direct)
    check = at_most("router_adds", added, WANTED_MS, "ms", "at the median, to the time to the first token")
    print(f"{check.name}: {check.value:.2f} {check.unit}, at most {check.limit}: {check.status}")
    return 0 if check.status == "passed" else 1


async def measure(urls: list[str], router_url: str) -> tuple[list[float], list[float]]:
    """Return the times to the first token, directly and through the router, in milliseconds."""
    direct: list[float] = []
    routed: list[float] = []

    async def user(index: int) -> None:
        await asyncio.sleep(index * FIRST_MS / 1e3 / STREAMS * 3)  # not all of them at once
        for turn in range(ROUNDS):
            is_routed = (index + turn) % 2 == 1
            url = router_url if is_routed else urls[index // 2 % len(urls)]
            (routed if is_routed else direct).append(await first_token_ms(url))

    await asyncio.gather(*map(user, range(STREAMS)))
    return direct, routed


async def first_token_ms(url: str) -> float:
    """Ask for a stream, read it whole, and return when its first token came."""
    port = int(url.rpartition(":")[2])
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(QUESTION)}\r\n"
    began, first = time.perf_counter(), 0.0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + QUESTION)
    async with asyncio.timeout(30):
        while b"[DONE]" not in (line := await reader.readline()):
            if not line:
                raise SystemExit("a stream ended before its end")
            if not first and b'" word"' in line:
                first = (time.perf_counter() - began) * 1e3
    writer.close()
    return first


@contextmanager
def servers() -> Iterator[list[str]]:
    """Run two servers of known times, in processes of their own."""
    ports: set[int] = set()
    for _ in range(2):
        ports.add(free_port(ports))
    processes = [subprocess.Popen([sys.executable, __file__, "serve", str(port)]) for port in ports]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    try:
        for url in urls:
            wait_for(f"{url}/health")
        yield urls
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def router(folder: Path, urls: list[str]) -> Iterator[tuple[str, psutil.Process]]:
    """Run the router before the servers."""
    port = free_port(())
    path = folder / "router.json"
    RouterConfig(port, free_port({port}), urls, max_model_len=2048).write(path)
    started = subprocess.Popen(command(path), env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}", psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(20)


def wait_for(url: str) -> None:
    """Wait until a server is well."""
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"{url}: {error}") from error
        time.sleep(0.05)


def processor_s(process: psutil.Process) -> float:
    """Return user and system seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def serve(port: int) -> None:
    """Stream answers whose tokens come at fixed times."""

    def event(data: object) -> bytes:
        content = b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"
        return b"%x\r\n" % len(content) + content + b"\r\n"

    def chunk(delta: dict[str, str]) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        return event(
            {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        )

    role, token = chunk({"role": "assistant", "content": ""}), chunk({"content": " word"})
    end = event({"choices": [], "usage": {"prompt_tokens": 9}}) + event(b"[DONE]") + b"0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                asked = (await reader.readuntil(b"\r\n\r\n")).lower()
                if asked.startswith(b"get"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                    continue
                began = loop.time()
                await reader.readexactly(int(asked.split(b"content-length:")[1].split(b"\r\n")[0]))
                writer.write(head + role)
                for index in range(TOKENS):
                    await asyncio.sleep(max(0, began + (FIRST_MS + index * GAP_MS) / 1e3 - loop.time()))
                    writer.write(token)
                writer.write(end)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
        await server.serve_forever()

    uvloop.run(run())


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    sys.exit(main())
