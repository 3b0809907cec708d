"""Questions to a server: what somebody else's server says is no answer of ours."""

import pytest

from components.serve import probe
from tests.hostile.odd_server import Answer, odd_server


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"<html>hello</html>", id="a page"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'["pet"]', id="a list"),
        pytest.param(b'{"data": ["pet"], "choices": []}', id="of another form"),
        pytest.param(b'{"data": null, "choices": null}', id="null"),
    ],
)
def test_somebody_elses_server_is_not_ours(body: bytes) -> None:
    with odd_server(lambda path, asked: Answer(body)) as url:
        assert probe.is_up(url)
        assert not probe.lists_adapter(url, "pet")
        assert not probe.completes(url, "pet")


def test_ours_lists_the_adapter_and_completes() -> None:
    body = b'{"data": [{"id": "base"}, {"id": "pet"}], "choices": [{"text": "a"}]}'
    with odd_server(lambda path, asked: Answer(body)) as url:
        assert probe.lists_adapter(url, "pet")
        assert not probe.lists_adapter(url, "dog")
        assert probe.completes(url, "pet")
