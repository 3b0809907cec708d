"""Whoever may ask a model must not rule the router: what a client can send, against what goes through."""

import ast
import importlib.util
from pathlib import Path

import pytest

from components.engine.config import EngineConfig
from components.engine.server import server_command
from components.router.routes import OPEN
from tests.components.router.running import Running, request, routed

ELSEWHERE = "http://192.0.2.1:8000"
MANAGEMENT = [
    "/add_worker",
    f"/add_worker?url={ELSEWHERE}",
    f"/remove_worker?url={ELSEWHERE}",
    "/list_workers",
    "/workers",
    "/get_loads",
    "/flush_cache",
    "/readiness",
    "/liveness",
    "/metrics",
    "/ready",
    "/live",
    "/docs",
    "/openapi.json",
    "/version",
    "/tokenize",
    "/pause",
    "/sleep",
    "/collective_rpc",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/v1/responses/resp_1",
    "/v1/responses/resp_1/cancel",
    "/v1/anything/new",
    "/v1",
    "/v1/",
    "/",
    "",
    "*",
]
TRICKS = [
    "//v1/models",
    "/v1//models",
    "/v1/models/",
    "/v1/./models",
    "/v1/../v1/models",
    "/v1/models/../load_lora_adapter",
    "/v1/models/..%2fload_lora_adapter",
    "/health/../add_worker",
    "/%761/models",
    "/v1%2Fmodels",
    "/v1/models%00",
    "/v1/models%20",
    "/v1/models;x=1",
    "/v1/models#x",
    "/v1\\models",
    "/V1/models",
    f"{ELSEWHERE}/v1/models",
    "http://127.0.0.1/v1/models",
    "http://127.0.0.1/add_worker",
    "v1/models",
    "@192.0.2.1/v1/models",
    "/@192.0.2.1:8000/v1/models",
    "/v1/models?a b",
    "/v1/models?a\\b",
    '/v1/models?"',
]


def line(method: str, target: str, *headers: str) -> bytes:
    return "\r\n".join(
        [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
    ).encode()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_management_is_not_at_the_clients_port(method: str) -> None:
    async def test(run: Running) -> None:
        before = run.router.replicas.urls()
        for target in MANAGEMENT:
            answer = await run.send(line(method, target, "Content-Length: 0"))

            assert answer.status in (400, 404), target
            assert answer.error["message"]
        assert run.router.replicas.urls() == before
        assert [upstream.asked for upstream in run.upstreams] == [[], []]

    routed(test)


def test_no_way_of_writing_a_path_leads_elsewhere() -> None:
    async def test(run: Running) -> None:
        for target in TRICKS:
            for method in ("GET", "POST"):
                answer = await run.send(line(method, target, "Content-Length: 0"))

                assert answer.status in (400, 404, 405), target
                assert answer.error["type"] == "invalid_request_error"
        assert [upstream.asked for upstream in run.upstreams] == [[], []]

    routed(test)


@pytest.mark.parametrize(
    "method",
    ["OPTIONS", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PURGE", "get", "FOO", "G\x00T"],
)
def test_each_door_opens_by_one_method(method: str) -> None:
    async def test(run: Running) -> None:
        for path in OPEN:
            answer = await run.send(line(method, path, "Origin: https://evil.example"))

            assert answer.status in (400, 404, 405)
            if answer.status == 405:
                assert answer.headers["allow"] == OPEN[path]
        assert [upstream.asked for upstream in run.upstreams] == [[], []]

    routed(test)


def test_pages_of_other_origins_are_not_let_in() -> None:
    async def test(run: Running) -> None:
        origin = "Origin: https://evil.example"
        asks = [
            request("whole_answer", origin),  # the stand-in's own answer says that all may read it
            line("GET", "/v1/models", origin),
            line("GET", "/health", origin),
            line("OPTIONS", "/v1/chat/completions", origin, "Access-Control-Request-Method: POST"),
            line("GET", "/nothing", origin),
        ]
        for ask in asks:
            answer = await run.send(ask)
            assert not [name for name in answer.headers if name.startswith("access-control")]
            assert "set-cookie" not in answer.headers

    routed(test)


def test_an_engine_sees_only_headers_that_are_for_it() -> None:
    async def test(run: Running) -> None:
        hostile = [
            "Proxy-Authorization: Basic x",
            "Keep-Alive: timeout=9",
            "TE: trailers",
            "Trailer: Authorization",
            "Forwarded: for=127.0.0.1",
            "X-Forwarded-For: 127.0.0.1",
            "X-Data-Parallel-Rank: 1",
            "Cookie: a=b",
            "Origin: https://evil.example",
            "Accept-Encoding: gzip",
            "Authorization: Bearer sk-1",
        ]
        assert (await run.chat("stream", *hostile)).status == 200

        (_, headers, _) = run.upstreams[0].requests[0]
        assert set(headers) == {"host", "authorization", "content-length"}
        assert headers["host"] == run.upstreams[0].url.removeprefix("http://")

    routed(test)


SMUGGLED = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 50",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Content-Length: 0\r\n x: folded",
        "Upgrade: websocket\r\nContent-Length: 0",
        "Upgrade: h2c\r\nContent-Length: 0",
    ],
)
def test_where_a_request_ends_is_not_in_doubt(headers: str) -> None:
    async def test(run: Running) -> None:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n".encode()
        answer = await run.send(head + b"0\r\n\r\n" + SMUGGLED)

        assert answer.status == 400
        assert answer.error["type"] == "invalid_request_error"
        assert [upstream.asked for upstream in run.upstreams] == [[], []]

    routed(test)


def test_a_redirect_of_an_engine_is_not_followed_and_shows_no_address() -> None:
    async def test(run: Running) -> None:
        answer = await run.chat("status 307")

        assert answer.status == 307
        assert "location" not in answer.headers
        assert answer.headers["server"] == "tunegate"
        assert len(run.upstreams[0].asked) == 1

    routed(test)


def test_an_engine_describes_itself_to_nobody(tmp_path: Path) -> None:
    """By options that this vLLM has; its own parser takes twenty seconds to import, its source none."""
    found = importlib.util.find_spec("vllm")
    if found is None or found.origin is None:
        pytest.skip("vLLM is not installed")
    source = ast.parse((Path(found.origin).parent / "entrypoints/launchers/cli_args.py").read_text())
    known = {
        ast.unparse(line.target).replace("_", "-")
        for line in ast.walk(source)
        if isinstance(line, ast.AnnAssign)
    }
    config = EngineConfig(tmp_path, tmp_path, "pet", lora_r=8, max_model_len=2048)
    command = server_command(config, "127.0.0.1", 8000)

    assert {"--disable-fastapi-docs", "--allowed-origins=[]"} <= set(command)
    assert {"disable-fastapi-docs", "allowed-origins"} <= known
