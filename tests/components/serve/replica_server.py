"""A stand-in for vLLM's server: the same paths and keys, answers at once, little but the standard library.

python replica_server.py --port 8000 --base BASE --adapter NAME --answer TEXT
"""

import argparse
import json
import os
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from components.engine.api_keys import DIRECTORY_VARIABLE, REFUSAL, ApiKeys


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    options: argparse.Namespace
    keys: ClassVar[ApiKeys | None] = None
    in_flight: ClassVar[set["Handler"]] = set()

    def _allowed(self) -> bool:
        if self.keys is None or self.keys.allow(
            self.path, self.headers.get("Authorization", "").encode("latin-1")
        ):
            return True
        self.close_connection = True  # what was sent with it is not read
        self._send("application/json", REFUSAL, 401)
        return False

    def do_GET(self) -> None:
        if not self._allowed():
            return
        if self.path == "/health" and self.options.never_healthy:
            self.send_error(503, "loading")
        elif self.path == "/health":
            self._json({})
        elif self.path == "/v1/models":
            names = [self.options.base] + [self.options.adapter] * (not self.options.hide_adapter)
            self._json({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
        elif self.path == "/metrics":
            self._send("text/plain", b'vllm:num_requests_running{engine="0"} %.1f\n' % len(self.in_flight))
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        if not self._allowed():
            return
        self.in_flight.add(self)
        try:
            self._answer()
        finally:
            self.in_flight.discard(self)

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["model"] not in (self.options.base, self.options.adapter):
            self.send_error(404)
            return
        text = f"{self.options.answer} pid={os.getpid()} host={socket.gethostname()}"
        if body.get("stream"):
            self._stream(text, len(str(body["messages"])), int(body.get("max_tokens") or 4))
        elif self.path == "/v1/chat/completions":
            time.sleep(self.options.answer_s)
            self._json({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
        elif self.path == "/v1/completions":
            time.sleep(self.options.answer_s)
            self._json({"choices": [{"index": 0, "text": text}]})
        else:
            self.send_error(404)

    def _json(self, value: object) -> None:
        self._send("application/json", json.dumps(value).encode())

    def _send(self, content_type: str, body: bytes, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, text: str, prompt_tokens: int, tokens: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(tokens):
            self._event(json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}))
            time.sleep(self.options.answer_s)
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": tokens}
        self._event(json.dumps({"choices": [], "usage": usage}))
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        chunk = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--base", required=True)
    parser.add_argument("--adapter", required=True)
    parser.add_argument("--answer", default="hello")
    parser.add_argument("--answer-s", type=float, default=0.0)
    parser.add_argument("--hide-adapter", action="store_true")
    parser.add_argument("--die", action="store_true")
    parser.add_argument("--start-s", type=float, default=0.0)
    parser.add_argument("--never-healthy", action="store_true")
    parser.add_argument("--take-mib", type=int, default=0)
    Handler.options = parser.parse_args()
    if Handler.options.die:
        print("loading weights\nRuntimeError: engine core failed to start", flush=True)
        raise SystemExit(1)
    if DIRECTORY_VARIABLE in os.environ:
        Handler.keys = ApiKeys(Path(os.environ[DIRECTORY_VARIABLE]))
    # The first process of a container has no default for SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    time.sleep(Handler.options.start_s)
    taken = bytearray(Handler.options.take_mib << 20)
    taken[::4096] = b"1" * len(taken[::4096])
    ThreadingHTTPServer.request_queue_size = 128
    ThreadingHTTPServer((Handler.options.host, Handler.options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
