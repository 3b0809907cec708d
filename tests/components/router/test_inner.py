"""The inner port: metrics and probes, and nothing of the clients'."""

import pytest

from tests.components.router.running import Running, routed


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(("well", "status"), [(True, 200), (False, 503)])
def test_a_router_is_ready_when_an_engine_is_there(well: bool, status: int) -> None:
    async def test(run: Running) -> None:
        if not well:
            run.router.serve(["http://127.0.0.1:9"], 1 << 20)

        assert (await run.send(get("/ready"), run.inner_port)).status == status
        assert (await run.send(get("/live"), run.inner_port)).status == 200
        assert (await run.send(get("/health"))).status == status

    routed(test)


@pytest.mark.parametrize("path", ["/v1/models", "/health", "/add_worker", "/"])
def test_the_inner_port_asks_no_engine(path: str) -> None:
    async def test(run: Running) -> None:
        assert (await run.send(get(path), run.inner_port)).status == 404
        assert all(upstream.asked == [] for upstream in run.upstreams)

    routed(test)


def test_every_series_is_there_before_the_first_request() -> None:
    async def test(run: Running) -> None:
        counted = await run.series("tunegate_router_requests_total")

        assert counted['{outcome="failed",route="/v1/chat/completions"}'] == 0
        assert (await run.series("tunegate_router_replicas_known"))[""] == 2
        await run.chat("stream")
        counted = await run.series("tunegate_router_requests_total")
        assert counted['{outcome="answered",route="/v1/chat/completions"}'] == 1
        times = await run.series("tunegate_router_first_text_seconds_count")
        assert times == {'{route="/v1/chat/completions"}': 1}
        assert (await run.series("tunegate_router_in_flight"))[""] == 0
        assert set((await run.series("tunegate_router_replica_healthy")).values()) == {1}

    routed(test)
