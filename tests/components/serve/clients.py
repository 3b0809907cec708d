"""Clients that ask a router without a pause and note every request that fails."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlparse

import psutil

from components.engine.api_keys import authorization


def ask(url: str, model: str = "pet", stream: bool = False, max_tokens: int = 4, key: str = "") -> str:
    """Return the whole answer; raise on any failure, a broken stream included."""
    address = urlparse(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    question = {
        "model": model,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
        "max_tokens": max_tokens,
    }
    try:
        headers = {"Content-Type": "application/json"} | authorization(key)
        connection.request("POST", "/v1/chat/completions", json.dumps(question), headers)
        response = connection.getresponse()
        body = response.read().decode()
    finally:
        connection.close()
    if response.status != 200 or (stream and "[DONE]" not in body):
        raise OSError(f"{response.status}: {body[-200:]}")
    return body


@dataclass
class Asked:
    """Who answered how often, and what failed."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, deployment: str, count: int) -> None:
        """Wait until a deployment has answered so many requests more."""
        with self.changed:
            wanted = self.answers[deployment] + count
            assert self.changed.wait_for(lambda: self.answers[deployment] >= wanted, timeout=30)


@contextmanager
def continuous_requests(
    url: str, deployments: tuple[str, ...], clients: int = 4, model: str = "pet"
) -> Iterator[Asked]:
    """Ask with several clients, every other one streaming, until the block ends."""
    asked, stop = Asked(), threading.Event()

    def client(stream: bool) -> None:
        while not stop.is_set():
            try:
                body = ask(url, model, stream=stream)
                found = next((name for name in deployments if name in body), None)
                if found is None:
                    raise OSError(f"answered by none of {', '.join(deployments)}: {body[-200:]}")
            except (OSError, http.client.HTTPException) as error:
                with asked.changed:
                    asked.failures.append(f"{type(error).__name__}: {error}")
                continue
            with asked.changed:
                asked.answers[found] += 1
                asked.changed.notify_all()

    threads = [threading.Thread(target=client, args=(index % 2 == 0,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield asked
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def processes_in(folder: str) -> list[str]:
    """Return the command lines of the processes that run in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found
