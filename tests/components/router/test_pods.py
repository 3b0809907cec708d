"""The engines' pods, from a small API server of the test's own: listed, watched, too old, away."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from components.router import pods
from components.router.pods import ApiServer, follow_pods, takes_requests

SELECTOR = "app.kubernetes.io/instance=pet-r1,app.kubernetes.io/component=engine"


def pod(name: str, address: str | None, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    status = {
        "phase": "Running",
        "conditions": [
            {"type": "Initialized", "status": "True"},
            {"type": "Ready", "status": str(ready)},
        ],
    }
    if address:
        status["podIP"] = address
    return {"metadata": {"uid": name, "name": name, **metadata}, "status": status}


class Api:
    """An API server with pods: it lists them, and sends on what is put into its queue."""

    def __init__(self) -> None:
        self.pods: list[dict[str, Any]] = []
        self.events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.asked: list[dict[str, str]] = []
        self.tokens: list[str] = []
        self.status = 200
        self.served: asyncio.Queue[list[str]] = asyncio.Queue()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                address = urlsplit(head[0].split()[1])
                assert address.path == "/api/v1/namespaces/pets/pods"
                query = {key: values[0] for key, values in parse_qs(address.query).items()}
                self.asked.append(query)
                self.tokens += [line[15:] for line in head if line.startswith("Authorization: ")]
                assert query["labelSelector"] == SELECTOR
                if self.status != 200:
                    writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 0\r\n\r\n" % self.status)
                elif "watch" not in query:
                    listed = {"metadata": {"resourceVersion": "7"}, "items": self.pods}
                    body = json.dumps(listed).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                else:
                    assert query["resourceVersion"] == "7"
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    while (event := await self.events.get()) is not None:
                        writer.write(b"%x\r\n" % len(event) + event + b"\r\n")
                    writer.write(b"0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def send(self, kind: str, found: dict[str, Any]) -> None:
        self.events.put_nowait(json.dumps({"type": kind, "object": found}).encode() + b"\n")

    async def told(self) -> list[str]:
        """Return what the router is told next."""
        return await asyncio.wait_for(self.served.get(), 10)


def followed(test: Callable[[Api], Awaitable[None]], tmp_path: Path) -> None:
    """Run a test's coroutine while the pods of its API server are followed."""

    async def run() -> None:
        api = Api()
        (tmp_path / "token").write_text("secret-1\n")
        server = await asyncio.start_server(api.answer, "127.0.0.1", 0)
        address = ApiServer(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", tmp_path / "token")
        api.pods = [pod("a", "10.0.0.1"), pod("b", None)]
        following = asyncio.ensure_future(follow_pods(address, "pets", SELECTOR, 8000, api.served.put_nowait))
        try:
            assert await api.told() == ["http://10.0.0.1:8000"]
            await test(api)
        finally:
            following.cancel()
            server.close()

    asyncio.run(run())


def test_pods_come_and_go(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        api.send("MODIFIED", pod("b", "10.0.0.2"))
        assert await api.told() == ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]
        api.send("ADDED", pod("c", "fd00::3"))
        assert (await api.told())[-1] == "http://[fd00::3]:8000"
        api.send("DELETED", pod("a", "10.0.0.1"))  # gone at once, by force: it was never ending
        assert await api.told() == ["http://10.0.0.2:8000", "http://[fd00::3]:8000"]
        api.send("MODIFIED", pod("b", "10.0.0.2", deletionTimestamp="2026-11-28T09:00:00Z"))
        assert await api.told() == ["http://[fd00::3]:8000"]
        api.send("MODIFIED", pod("c", "fd00::3", ready=False))
        assert await api.told() == []

    followed(test, tmp_path)


def test_events_may_come_in_any_pieces_and_be_long(tmp_path: Path) -> None:
    async def test(api: Api) -> None:
        first = {"type": "ADDED", "object": pod("c", "10.0.0.3", annotations={"long": "x" * 300_000})}
        second = {"type": "ADDED", "object": pod("d", "10.0.0.4")}
        raw = json.dumps(first).encode() + b"\n" + json.dumps(second).encode() + b"\n"
        for start in range(0, len(raw), 70_001):
            api.events.put_nowait(raw[start : start + 70_001])

        assert "http://10.0.0.3:8000" in await api.told()
        assert "http://10.0.0.4:8000" in await api.told()

    followed(test, tmp_path)


@pytest.mark.parametrize("end", ["too old", "over", "no JSON", "half a pod", "no address"])
def test_when_a_watch_ends_everything_is_listed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(pods, "AGAIN_S", 0.01)

    async def test(api: Api) -> None:
        api.pods = [pod("z", "10.0.0.9")]
        (tmp_path / "token").write_text("secret-2\n")  # as the kubelet does now and then
        if end == "too old":
            api.send("ERROR", {"kind": "Status", "code": 410})
        elif end == "no JSON":
            api.events.put_nowait(b"<html>\n")
        elif end == "half a pod":
            api.send("ADDED", {"status": {}})
        elif end == "no address":
            api.send("ADDED", pod("e", "192.0.2.1:80/@x"))
        if end in ("over", "too old"):
            api.events.put_nowait(None)

        assert await api.told() == ["http://10.0.0.9:8000"]
        assert set(api.tokens) == {"Bearer secret-1", "Bearer secret-2"}

    followed(test, tmp_path)


@pytest.mark.parametrize("status", [410, 403, 500])
def test_while_the_api_server_refuses_the_known_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pods, "AGAIN_S", 0.01)

    async def test(api: Api) -> None:
        before = len(api.asked)
        api.status = status
        api.events.put_nowait(None)
        while len(api.asked) < before + 3:
            await asyncio.sleep(0.01)

        assert api.served.empty()
        api.status = 200
        api.pods = [pod("z", "10.0.0.9")]
        assert await api.told() == ["http://10.0.0.9:8000"]

    followed(test, tmp_path)
    assert "the known ones stay" in capsys.readouterr().err


def test_an_api_server_that_is_away_leaves_the_known_ones_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods, "AGAIN_S", 0.01)

    async def test() -> None:
        served: list[list[str]] = []
        following = asyncio.ensure_future(
            follow_pods(ApiServer("http://127.0.0.1:9"), "pets", SELECTOR, 8000, served.append)
        )
        await asyncio.sleep(0.1)
        assert not following.done()
        assert served == []
        following.cancel()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (pod("a", "10.0.0.1"), True),
        (pod("a", None), False),
        (pod("a", "10.0.0.1", ready=False), False),
        (pod("a", "10.0.0.1", deletionTimestamp="now"), False),
        (pod("a", "10.0.0.1") | {"status": {"podIP": "10.0.0.1", "phase": "Failed"}}, False),
        ({"metadata": {}, "status": None}, False),
        ({"metadata": {}}, False),
    ],
    ids=["ready", "no address", "not ready", "ending", "ended", "no status", "nothing"],
)
def test_only_a_pod_that_is_ready_takes_requests(found: dict[str, Any], wanted: bool) -> None:
    assert takes_requests(found) == wanted
