"""One vllm-router process: how it is started, and its workers changed while it serves.

    python -m components.serve.router FOLDER/router.json

The workers stand in a file and not on the command line, so that a router that is started again after
a crash knows those that were added since.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path

from components.errors import TunegateError
from components.storage import atomic_write

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class RouterConfig:
    """A router's ports and the replicas behind it."""

    port: int
    prometheus_port: int
    worker_urls: list[str]

    def write(self, path: Path) -> None:
        """Write the file that the process is started with."""
        with atomic_write(path) as file:
            file.write(json.dumps(asdict(self), indent=2).encode())


def supervised_command(config_path: Path) -> list[str]:
    """Return the command that runs a router out of its file."""
    return [sys.executable, "-m", "components.serve.router", str(config_path)]


def router_command(config: RouterConfig) -> list[str]:
    """Return the vllm-router command line of a configuration."""
    options = {
        "host": "127.0.0.1",
        "port": config.port,
        "prometheus-host": "127.0.0.1",
        "prometheus-port": config.prometheus_port,
        "policy": "round_robin",
        "worker-startup-check-interval": 1,
        "health-check-interval-secs": 1,
        "health-failure-threshold": 1,
        "health-success-threshold": 1,
        "retry-max-retries": 5,
        "retry-max-backoff-ms": 500,
        "log-level": "warning",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    # The health check takes a dead replica out within a second and puts it back as soon as it
    # answers; the circuit breaker would keep a recovered one out for another minute.
    flags.append("--disable-circuit-breaker")
    return [sys.executable, "-m", "vllm_router.launch_router", *flags, "--worker-urls", *config.worker_urls]


def workers(router_url: str) -> list[str]:
    """Return the addresses of the workers of a running router."""
    listed: list[str] = json.loads(_call("GET", f"{router_url}/list_workers", 10))["urls"]
    return sorted(listed)


def set_workers(router_url: str, wanted: list[str]) -> None:
    """Change the workers of a running router; requests go on all the while.

    The new ones are added before the old ones are taken out. A request that an old one is working on
    is finished by it: taking a worker out only ends what is sent to it.

    Raises:
        TunegateError: A new worker is not healthy; the old ones were left in.
    """
    before = workers(router_url)
    added: list[str] = []
    try:
        for url in (url for url in wanted if url not in before):
            _change(router_url, "add_worker", url)
            added.append(url)
    except TunegateError:
        for url in added:
            _change(router_url, "remove_worker", url)
        raise
    for url in (url for url in before if url not in wanted):
        _change(router_url, "remove_worker", url)


def _change(router_url: str, action: str, worker_url: str) -> None:
    # add_worker answers when the worker is healthy.
    _call("POST", f"{router_url}/{action}?{urllib.parse.urlencode({'url': worker_url})}", 30)


def _call(method: str, url: str, timeout_s: float) -> bytes:
    request = urllib.request.Request(url, method=method)
    try:
        with _opener.open(request, timeout=timeout_s) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        raise TunegateError(
            f"router: {method} {url} answered {error.code}: {error.read().decode(errors='replace')}"
        ) from error
    except OSError as error:
        raise TunegateError(f"router: {method} {url} failed: {error}") from error


def main() -> None:
    """Become the vllm-router process of a configuration file."""
    config = RouterConfig(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    command = router_command(config)
    # The router honours proxy settings even for workers on this machine.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
