"""One vllm-router in a pod: its workers are the pods with the given labels.

python -m components.serve.kubernetes.router --selector=app=x,component=engine --namespace=serving
"""

import argparse
import subprocess
import sys
from typing import Any

from components.serve.router import RouterConfig, router_options

EVERYWHERE = "0.0.0.0"


def discovery_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `vllm_router.router_args.RouterArgs`: the local router's, with discovery."""
    config = RouterConfig(port=arguments.port, prometheus_port=arguments.metrics_port, worker_urls=[])
    return router_options(config) | {
        "host": EVERYWHERE,
        "prometheus_host": EVERYWHERE,
        "service_discovery": True,
        "selector": dict(pair.split("=", 1) for pair in arguments.selector.split(",")),
        "service_discovery_port": arguments.engine_port,
        "service_discovery_namespace": arguments.namespace,
        "log_level": "info",
    }


def main() -> None:
    """Route until SIGTERM."""
    parser = argparse.ArgumentParser(description="Route to the engines of one deployment.")
    parser.add_argument("--selector", required=True, help="Labels of the engines' pods: key=value,...")
    parser.add_argument("--namespace", required=True, help="Where the pods are.")
    parser.add_argument("--engine-port", type=int, default=8000, help="Port of the engines.")
    parser.add_argument("--port", type=int, default=8000, help="Port to listen on.")
    parser.add_argument("--metrics-port", type=int, default=29000, help="Port of the metrics.")
    arguments = parser.parse_args()
    options = discovery_options(arguments)
    # A process of its own: the router holds the interpreter's lock. It ends with the container.
    sweep = [sys.executable, "-m", "components.serve.kubernetes.router_sweep"]
    names = ("selector", "namespace", "port")
    subprocess.Popen([*sweep, *(f"--{name}={getattr(arguments, name)}" for name in names)])
    # Not by way of vllm_router's own command: that spends a second on imports that it doesn't use.
    from vllm_router.router import Router
    from vllm_router.router_args import RouterArgs

    Router.from_args(RouterArgs(**options)).start()


if __name__ == "__main__":
    main()
