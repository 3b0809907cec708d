"""A request's way to a replica and back: what is passed on, what is tried again, what is cut."""

import asyncio
import json

import pytest

from components.router import replicas
from components.router.limits import LEAST_BODY_BYTES, Limits
from components.router.process import Ports, Router
from tests.components.router.running import Answer, Running, request, routed, running
from tests.components.router.upstream import ROLE, text, upstreams


def stream_of(*said: object) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in said)


def test_a_stream_comes_through_byte_for_byte() -> None:
    async def test(run: Running) -> None:
        answer = await run.chat("stream", "Authorization: Bearer sk-1", "X-Request-Id: 7")

        said = stream_of(ROLE, text("one"), text(" says"), text(" hello")) + b"data: [DONE]\n\n"
        assert (answer.status, answer.body, answer.is_whole) == (200, said, True)
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        ((line, headers, body),) = run.upstreams[0].requests
        assert line == "POST /v1/chat/completions HTTP/1.1"
        assert body == request("stream").partition(b"\r\n\r\n")[2]
        assert (headers["authorization"], headers["x-request-id"]) == ("Bearer sk-1", "7")

    routed(test)


def test_the_first_text_is_passed_on_before_the_rest_is_there() -> None:
    async def test(run: Running) -> None:
        reader, writer = await run.open()
        writer.write(request("wait after-text"))

        seen = b""
        while b"half" not in seen:
            seen += await asyncio.wait_for(reader.read(1000), 10)
        run.upstreams[0].go_on.set()
        answer = Answer.of(seen + await reader.read())

        assert answer.is_whole
        assert answer.body.endswith(b"data: [DONE]\n\n")
        writer.close()

    routed(test)


@pytest.mark.parametrize(
    ("order", "status"), [("whole_answer", 200), ("status 429", 429), ("status 404", 404)]
)
def test_status_and_words_of_an_engine_are_kept(order: str, status: int) -> None:
    async def test(run: Running) -> None:
        answer = await run.chat(order)

        assert answer.status == status
        assert b"said by" in answer.body or b"own words" in answer.body
        assert answer.headers["retry-after"] == "7"
        assert len(run.upstreams[0].asked) == 1
        assert run.upstreams[1].asked == []

    routed(test)


@pytest.mark.parametrize(
    "order", ["break at-once one", "break headers one", "break after-role one", "status 500 one"]
)
def test_what_breaks_before_its_first_text_is_answered_by_another(order: str) -> None:
    async def test(run: Running) -> None:
        answer = await run.chat(order)

        assert (answer.status, answer.is_whole) == (200, True)
        assert [len(upstream.asked) for upstream in run.upstreams] == [1, 1]
        reason = "status" if order.startswith("status") else "broken"
        assert (await run.series("tunegate_router_retries_total"))[f'{{reason="{reason}"}}'] == 1

    routed(test)


def test_a_request_that_ends_every_engine_does_not_reach_them_all() -> None:
    async def test(run: Running) -> None:
        answer = await run.chat("break after-role")

        assert (answer.status, answer.error["code"]) == (503, "no_replica")
        assert sum(len(upstream.asked) for upstream in run.upstreams) == 3

    routed(test)


def test_the_last_replicas_own_refusal_is_passed_on() -> None:
    async def test(run: Running) -> None:
        answer = await run.chat("status 500")

        assert answer.status == 500
        assert b"own words" in answer.body
        assert [len(upstream.asked) for upstream in run.upstreams] == [1, 1]

    routed(test)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_stream_that_breaks_in_its_text_is_no_whole_answer(path: str) -> None:
    async def test(run: Running) -> None:
        answer = await run.chat("break after-text", path=path)

        assert answer.status == 200
        assert not answer.is_whole  # for whoever only waits for the end
        assert b"[DONE]" not in answer.body
        last = answer.body.removesuffix(b"\n\n").rpartition(b"\n\n")[2]
        told = json.loads(last.removeprefix(b"data: "))  # for whoever reads events
        assert (told["type"], told["error"]["code"]) == ("error", "replica_lost")
        assert run.upstreams[1].asked == []
        counted = await run.series("tunegate_router_requests_total")
        assert counted[f'{{outcome="broken",route="{path}"}}'] == 1

    routed(test)


@pytest.mark.parametrize("order", ["wait before", "wait after-text"])
def test_a_client_that_leaves_frees_the_engine(order: str) -> None:
    async def test(run: Running) -> None:
        _, writer = await run.open()
        writer.write(request(order))
        while not run.upstreams[0].asked:
            await asyncio.sleep(0.01)
        writer.close()

        await asyncio.wait_for(run.upstreams[0].cancelled.wait(), 10)
        assert run.upstreams[1].asked == []
        counted = await run.series("tunegate_router_requests_total")
        assert counted['{outcome="client_gone",route="/v1/chat/completions"}'] == 1

    routed(test)


def test_the_least_busy_is_asked_and_equals_in_turn() -> None:
    async def test(run: Running) -> None:
        one, two = run.upstreams
        for _ in range(4):
            await run.chat("whole_answer")
        assert (len(one.asked), len(two.asked)) == (2, 2)

        _, writer = await run.open()
        writer.write(request("wait before"))
        while len(one.asked) + len(two.asked) < 5:
            await asyncio.sleep(0.01)
        busy, free = (one, two) if len(one.asked) == 3 else (two, one)
        for _ in range(3):
            await run.chat("whole_answer")

        assert (len(busy.asked), len(free.asked)) == (3, 5)
        writer.close()

    routed(test)


def test_what_waits_on_a_replica_that_hangs_goes_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "CHECK_EVERY_S", 0.05)
    monkeypatch.setattr(replicas, "CHECK_TIMEOUT_S", 0.2)

    async def test(run: Running) -> None:
        run.upstreams[0].is_hung = True
        answers = await asyncio.gather(*(run.chat("stream") for _ in range(4)))

        assert [answer.status for answer in answers] == [200] * 4
        assert all(b"two" in answer.body for answer in answers)
        assert (await run.series("tunegate_router_retries_total"))['{reason="hung"}'] == 2
        assert (await run.series("tunegate_router_replicas_healthy"))[""] == 1

        run.upstreams[0].is_hung = False
        while (await run.series("tunegate_router_replicas_healthy"))[""] < 2:
            await asyncio.sleep(0.05)

    routed(test)


def test_a_stream_that_has_begun_waits_for_its_replica_and_then_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replicas, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(replicas, "LOST", 6)

    async def test(run: Running) -> None:
        waiting = asyncio.ensure_future(run.chat("wait after-text"))
        while not run.upstreams[0].asked:
            await asyncio.sleep(0.01)
        run.upstreams[0].health = 500
        answer = await waiting

        assert b"replica_lost" in answer.body
        assert not answer.is_whole

    routed(test)


def test_with_no_replica_well_that_is_said() -> None:
    async def test() -> None:
        router = Router(Limits())
        await router.start(Ports("127.0.0.1", 0, 0))
        run = Running(router, [])
        for raw in (request("stream"), b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
            answer = await run.send(raw)

            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.error["code"] == "no_replica"
        await router.stop(0)

    asyncio.run(test())


def test_one_that_refuses_connections_is_not_asked_again_until_it_is_well() -> None:
    async def test() -> None:
        async with running(2) as run:
            gone = "http://127.0.0.1:9"
            run.router.serve([gone, run.upstreams[0].url], 1 << 20, well=[gone])
            for _ in range(4):
                assert (await run.chat("stream")).status == 200
            assert (await run.series("tunegate_router_retries_total"))['{reason="connect"}'] <= 1

    asyncio.run(test())


def test_a_replica_that_left_finishes_what_it_has_begun_and_gets_nothing_new() -> None:
    async def test(run: Running) -> None:
        one, two = run.upstreams
        waiting = asyncio.ensure_future(run.chat("wait after-text"))
        while not one.asked:
            await asyncio.sleep(0.01)
        run.router.serve([two.url], 1 << 20)
        for _ in range(3):
            await run.chat("whole_answer")
        one.go_on.set()

        assert (await waiting).is_whole
        assert (len(one.asked), len(two.asked)) == (1, 3)

    routed(test)


def test_where_all_hang_what_waits_goes_on_waiting_and_new_ones_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replicas, "CHECK_EVERY_S", 0.01)
    monkeypatch.setattr(replicas, "CHECK_TIMEOUT_S", 0.05)

    async def test(run: Running) -> None:
        (one,) = run.upstreams
        waiting = asyncio.ensure_future(run.chat("wait before"))
        while not one.asked:
            await asyncio.sleep(0.01)
        one.is_hung = True
        while (await run.series("tunegate_router_replicas_healthy"))[""]:
            await asyncio.sleep(0.01)
        while (await run.chat("stream")).status != 503:
            await asyncio.sleep(0.01)
        one.is_hung = False
        one.go_on.set()

        assert (await waiting).is_whole

    routed(test, replicas=1)


@pytest.mark.parametrize(("heard", "missed"), [(True, 0), (False, 2)], ids=["it talks", "it is silent"])
def test_one_that_sends_text_does_not_hang(heard: bool, missed: int) -> None:
    replica = replicas.Replica("http://x")
    replica.missed = 0
    for _ in range(2):
        replica.was_heard = heard
        replica.note(replicas.UNSURE)

    assert replica.missed == missed
    replica.was_heard = True
    replica.note(replicas.UNWELL)  # it refuses: whatever came before, it is over
    assert replica.missed >= replicas.UNWELL


def test_an_answer_that_nobody_can_read_does_not_end_the_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicas, "CHECK_EVERY_S", 0.01)

    async def test(run: Running) -> None:
        def broken(*_: object, **__: object) -> None:
            raise KeyError("a fault of the client's package")

        with monkeypatch.context() as patch:
            patch.setattr(run.router.replicas._session, "get", broken)
            while (await run.series("tunegate_router_replicas_healthy"))[""]:
                await asyncio.sleep(0.01)
        while (await run.series("tunegate_router_replicas_healthy"))[""] < 2:
            await asyncio.sleep(0.01)

    routed(test)


def test_the_last_of_many_that_fail_is_heard_in_its_own_words() -> None:
    async def test(run: Running) -> None:
        answer = await run.chat("status 500")

        assert answer.status == 500
        assert b"own words" in answer.body

    routed(test, replicas=4)


def test_a_fault_of_ours_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    async def test(run: Running) -> None:
        monkeypatch.setattr(run.router._forwarder, "_forward", fail)
        assert (await run.chat("stream")).status == 500

        counted = await run.series("tunegate_router_requests_total")
        assert {key: count for key, count in counted.items() if count} == {
            '{outcome="failed",route="/v1/chat/completions"}': 1
        }

    routed(test)


def test_while_it_ends_a_router_takes_nothing_new_from_whom_it_has_answered() -> None:
    async def test() -> None:
        async with upstreams(2) as behind:
            router = Router(Limits())
            await router.start(Ports("127.0.0.1", 0, 0))
            urls = [upstream.url for upstream in behind]
            router.serve(urls, LEAST_BODY_BYTES, well=urls)
            run = Running(router, behind)
            busy, one = await run.open(), await run.open()
            busy[1].write(request("wait before"))
            one[1].write(request("wait after-text").replace(b"Connection: close\r\n", b""))
            await asyncio.wait_for(one[0].readuntil(b"half"), 10)
            ending = asyncio.ensure_future(router.stop(20))
            await asyncio.sleep(0)
            next(found for found in behind if b"after-text" in found.requests[0][2]).go_on.set()

            # To its end, and closed then, though the router still waits for the other one.
            assert (await asyncio.wait_for(one[0].read(), 10)).endswith(b"0\r\n\r\n")
            assert not ending.done()
            for upstream in behind:
                upstream.go_on.set()
            await ending
            assert Answer.of(await busy[0].read()).status == 200
            for _, writer in (busy, one):
                writer.close()

    asyncio.run(test())


def test_a_router_that_ends_stays_as_long_as_anybody_comes() -> None:
    """A node may hear late that others have taken its place, and send clients to it until then."""

    async def test() -> None:
        async with upstreams(1) as behind:
            router = Router(Limits())
            await router.start(Ports("127.0.0.1", 0, 0))
            router.serve([behind[0].url], LEAST_BODY_BYTES, well=[behind[0].url])
            run = Running(router, behind)
            now = asyncio.get_running_loop().time
            quiet_s, began = 2, now()
            waiting = asyncio.ensure_future(router.wait_until_quiet(quiet_s, most_s=60))
            while now() < began + 1.5 * quiet_s:
                answer = await run.send(request("stream").replace(b"Connection: close\r\n", b""))
                assert (answer.status, answer.is_whole) == (200, True)
                assert answer.headers["connection"] == "close"
            ready = await run.send(
                b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", run.inner_port
            )
            assert ready.status == 200 and not waiting.done()

            await asyncio.wait_for(waiting, 20)
            await router.stop(1)
            with pytest.raises(OSError):
                await run.open()

    asyncio.run(test())


def test_whoever_never_ceases_to_come_does_not_keep_a_router_from_its_end() -> None:
    async def test(run: Running) -> None:
        waiting = asyncio.ensure_future(run.router.wait_until_quiet(quiet_s=3600, most_s=0.5))
        while not waiting.done():
            await run.send(request("stream"))

    routed(test, replicas=1)
