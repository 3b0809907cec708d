"""A running router's replicas changed by its file: by a real process, before stand-ins in the test's loop."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from components.errors import TunegateError
from components.router import local
from components.router.limits import Limits
from components.router.local import FileSource
from components.router.orders import InForce, RouterConfig, command, set_workers, wait_in_force
from components.router.process import Ports, Router
from components.serve.ports import free_port
from tests.components.router.running import Running, request
from tests.components.router.upstream import Upstream, upstreams


@asynccontextmanager
async def following(path: Path, count: int, at_first: int) -> AsyncIterator[Running]:
    """Run a router that follows a file, which names the first of some stand-ins."""
    async with upstreams(count) as behind:
        RouterConfig(0, 0, [upstream.url for upstream in behind[:at_first]], 2048).write(path)
        router = Router(Limits())
        await router.start(Ports("127.0.0.1", 0, 0))
        source = asyncio.ensure_future(FileSource(path).follow(router))
        try:
            await asyncio.to_thread(wait_in_force, path)
            yield Running(router, behind)
        finally:
            source.cancel()
            await router.stop(0)


def in_force(path: Path) -> list[str]:
    said = InForce.read(path)
    assert said is not None
    return said.worker_urls


def urls(behind: list[Upstream]) -> list[str]:
    return [upstream.url for upstream in behind]


@pytest.mark.parametrize("wanted", [[1, 2], [0, 1], [0], []], ids=["one kept", "same", "fewer", "none"])
def test_the_replicas_become_those_that_are_wanted(tmp_path: Path, wanted: list[int]) -> None:
    async def test() -> None:
        path = tmp_path / "router.json"
        async with following(path, count=3, at_first=2) as run:
            chosen = [run.upstreams[index].url for index in wanted]
            await asyncio.to_thread(set_workers, path, chosen, 2048)

            assert in_force(path) == run.router.replicas.urls() == sorted(chosen)
            for _ in range(4 if wanted else 0):
                assert (await run.chat("stream")).status == 200
            assert [bool(upstream.asked) for upstream in run.upstreams] == [n in wanted for n in range(3)]

    asyncio.run(test())


def test_the_old_ones_stay_when_a_new_one_is_not_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "HEALTHY_WITHIN_S", 0.1)

    async def test() -> None:
        path = tmp_path / "router.json"
        async with following(path, count=3, at_first=2) as run:
            before = sorted(urls(run.upstreams[:2]))
            run.upstreams[2].health = 503
            with pytest.raises(TunegateError, match=r"router: \S+ not healthy within .*it goes on with http"):
                await asyncio.to_thread(set_workers, path, [run.upstreams[0].url, run.upstreams[2].url], 2048)

            assert run.router.replicas.urls() == before
            # So it is after a crash of the router, too, which then reads its file.
            assert sorted(RouterConfig.read(path).worker_urls) == before
            await asyncio.to_thread(wait_in_force, path)
            assert in_force(path) == before

    asyncio.run(test())


def test_a_switch_may_bring_a_model_that_reads_more(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "router.json"
        async with following(path, count=1, at_first=1) as run:
            long = request("stream " + "x" * (2 << 20))
            assert (await run.send(long)).status == 413
            await asyncio.to_thread(set_workers, path, urls(run.upstreams), 131072)
            assert (await run.send(long)).status == 200

    asyncio.run(test())


@pytest.mark.parametrize("content", ["", "{", "[]", '{"port": 1}', '{"who": "me"}'])
def test_a_file_that_says_nothing_changes_nothing(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        path = tmp_path / "router.json"
        async with following(path, count=2, at_first=1) as run:
            path.write_text(content)
            while "can't be read, nothing is changed" not in capsys.readouterr().err:
                await asyncio.sleep(0.01)
            assert run.router.replicas.urls() == [run.upstreams[0].url]

    asyncio.run(test())


def test_a_router_that_does_not_take_it_is_said_and_its_file_is_as_before(tmp_path: Path) -> None:
    path = tmp_path / "router.json"
    RouterConfig(1, 2, ["http://a"], 2048).write(path)
    InForce("of an earlier file", ["http://a"]).write(path)

    with pytest.raises(TunegateError, match=r"its router has not taken it within 0\.05 s; see its log"):
        set_workers(path, ["http://b"], 2048, timeout_s=0.05)

    assert RouterConfig.read(path).worker_urls == ["http://a"]


def test_a_process_takes_its_replicas_from_its_file_and_ends_when_it_has_answered(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "router.json"
        async with upstreams(1) as behind:
            port = free_port(())
            RouterConfig(port, free_port({port}), urls(behind), 2048).write(path)
            process = subprocess.Popen(command(path))
            try:
                await asyncio.to_thread(wait_in_force, path)
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request("wait after-text"))
                await reader.readuntil(b"half")
                idle, idle_writer = await asyncio.open_connection("127.0.0.1", port)
                process.terminate()
                assert await asyncio.wait_for(idle.read(), 10) == b""  # at once: it asks nothing
                with pytest.raises(OSError):
                    await asyncio.open_connection("127.0.0.1", port)
                assert process.poll() is None  # it still has an answer to give
                behind[0].go_on.set()
                assert b"[DONE]" in await asyncio.wait_for(reader.read(), 10)
                assert await asyncio.to_thread(process.wait, 10) == 0
                writer.close()
                idle_writer.close()
            finally:
                process.kill()
                process.wait()
        assert json.loads((tmp_path / "router.in-force.json").read_text())["problem"] == ""

    asyncio.run(test())
