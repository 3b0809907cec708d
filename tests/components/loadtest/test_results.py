import pytest

from components.loadtest.client import RequestRecord
from components.loadtest.results import Objective, percentiles, summarise

OBJECTIVE = Objective(ttft_ms=500, itl_ms=50)


def answer(at: float, ttft_ms: float = 100, itl_ms: float = 10, **more: object) -> RequestRecord:
    """Three tokens: e2e is ttft + 2 x itl."""
    return RequestRecord.model_validate(
        {
            "started_at": 1000 + at,
            "outcome": "ok",
            "e2e_ms": ttft_ms + 2 * itl_ms,
            "ttft_ms": ttft_ms,
            "gaps_ms": [itl_ms, itl_ms],
            "output_tokens": 3,
            "prompt_tokens": 40,
            **more,
        }
    )


def failure(at: float, outcome: str = "broken_stream", **more: object) -> RequestRecord:
    return answer(at, outcome=outcome, **more)


def test_warm_up_is_left_out_but_never_its_failures():
    records = [answer(0, ttft_ms=9000), failure(0.5), answer(2.5), answer(3)]
    stats = summarise(records, OBJECTIVE, warm_up_s=2, duration_s=10)["all"]
    assert (stats.requests, stats.ok, stats.failures) == (3, 2, {"broken_stream": 1})
    assert stats.ttft_ms.p99 == 100


def test_failed_requests_never_enter_latencies():
    records = [answer(0), *(failure(0, ttft_ms=9000, itl_ms=900) for _ in range(9))]
    stats = summarise(records, OBJECTIVE, warm_up_s=0, duration_s=10)["all"]
    assert stats.failed_share == 0.9
    assert (stats.ttft_ms.p99, stats.itl_ms.p99, stats.e2e_ms.p99) == (100, 10, 120)


def test_percentiles_are_those_of_known_numbers():
    found = percentiles(list(range(101)))
    assert (found.p50, found.p95, found.p99) == (50, 95, 99)
    assert percentiles([]) is None


def test_goodput_counts_every_request():
    records = [
        answer(0),
        answer(0, ttft_ms=501),
        answer(0, itl_ms=51),
        failure(0, "timed_out"),
        answer(0, ttft_ms=500, itl_ms=50),
    ]
    stats = summarise(records, OBJECTIVE, warm_up_s=0, duration_s=10)["all"]
    assert stats.goodput == pytest.approx(2 / 5)


def test_throughput_counts_what_ended_in_the_window():
    """Four users, each answer takes 1 s, of which the window of 10 s sees 40 end."""
    records = [answer(second, ttft_ms=998, itl_ms=1) for second in range(-2, 12) for _ in range(4)]
    stats = summarise(records, OBJECTIVE, warm_up_s=2, duration_s=10)["all"]
    assert stats.requests_per_s == pytest.approx(4, rel=0.11)
    assert stats.output_tokens_per_s == pytest.approx(3 * stats.requests_per_s)


def test_users_are_judged_by_their_kind():
    records = [answer(0), answer(0, ttft_ms=3000, user_class="long", prompt_tokens=160)]
    users = summarise(records, OBJECTIVE, warm_up_s=0, duration_s=10)
    assert list(users) == ["all", "normal", "long"]
    assert [users[name].goodput for name in users] == [0.5, 1.0, 0.0]
    assert (users["normal"].prompt_tokens, users["long"].prompt_tokens) == (40, 160)


def test_bundled_tokens_do_not_shorten_the_time_between_tokens():
    """Nine tokens in three chunks, 80 ms apart: 160 ms for 8 gaps."""
    record = answer(0, gaps_ms=[80, 80], output_tokens=9)
    assert record.itl_ms == pytest.approx(20)


def test_no_requests_no_statistics():
    assert summarise([], OBJECTIVE, 0, 1) == {}
    only_warm_up = summarise([answer(0)], OBJECTIVE, warm_up_s=5, duration_s=10)["all"]
    assert (only_warm_up.requests, only_warm_up.goodput, only_warm_up.failed_share) == (0, None, None)
