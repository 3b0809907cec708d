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
from typing import Any

from components.errors import TunegateError
from components.serve.ports import LOOPBACK
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


def router_options(config: RouterConfig) -> dict[str, Any]:
    """Return a configuration as the arguments of `vllm_router.router_args.RouterArgs`."""
    return {
        "host": LOOPBACK,
        "port": config.port,
        "prometheus_host": LOOPBACK,
        "prometheus_port": config.prometheus_port,
        "worker_urls": config.worker_urls,
        "policy": "round_robin",
        "worker_startup_check_interval": 1,
        "health_check_interval_secs": 1,
        "health_failure_threshold": 1,
        "health_success_threshold": 1,
        "retry_max_retries": 5,
        "retry_max_backoff_ms": 500,
        # The health check takes a dead replica out within a second and puts it back as soon as it
        # answers; the circuit breaker would keep a recovered one out for another minute.
        "disable_circuit_breaker": True,
        "log_level": "warn",
    }


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


def remove_worker(router_url: str, worker_url: str) -> None:
    """Send nothing more to a worker of a running router."""
    _change(router_url, "remove_worker", worker_url)


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
    """Run the router of a configuration file until SIGTERM."""
    # The router honours proxy settings even for workers on this machine.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = f"{LOOPBACK},localhost"
    # Not by way of vllm_router's own command: that spends a second on imports that it doesn't use.
    from vllm_router.router import Router
    from vllm_router.router_args import RouterArgs

    config = RouterConfig(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Router.from_args(RouterArgs(**router_options(config))).start()


if __name__ == "__main__":
    main()
