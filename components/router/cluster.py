"""A router in a pod, whose replicas are the pods with the given labels.

    python -m components.router.cluster --selector=app=x --namespace=serving --max-model-len=2048

It lists and watches them with its service account, by plain requests: the kubernetes package would take a
second and 60 MB of every router.
"""

import argparse
import functools
import os
import ssl
from pathlib import Path

from components.router.limits import max_body_bytes
from components.router.pods import ApiServer, follow_pods
from components.router.process import Ports, Router, run

EVERYWHERE = "0.0.0.0"
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_cluster() -> ApiServer:
    """Return the API server of our own pod's cluster."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    shown = f"[{host}]" if ":" in host else host
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    return ApiServer(f"https://{shown}:{port}", ACCOUNT / "token", context)


def main() -> None:
    """Route until SIGTERM."""
    parser = argparse.ArgumentParser(description="Route to the engines of one deployment.")
    parser.add_argument("--selector", required=True, help="Labels of the engines' pods: key=value,...")
    parser.add_argument("--namespace", required=True, help="Where the pods are.")
    parser.add_argument("--max-model-len", type=int, required=True, help="Tokens that the model can read.")
    parser.add_argument("--engine-port", type=int, default=8000, help="Port of the engines.")
    parser.add_argument("--port", type=int, default=8000, help="Port of the clients.")
    parser.add_argument("--metrics-port", type=int, default=29000, help="Port of metrics and probes.")
    parser.add_argument("--drain-s", type=float, default=50, help="Time to end after SIGTERM.")
    parser.add_argument("--quiet-s", type=float, default=5, help="It ends when nobody came for so long.")
    arguments = parser.parse_args()

    async def follow(router: Router) -> None:
        serve = functools.partial(router.serve, max_body_bytes=max_body_bytes(arguments.max_model_len))
        await follow_pods(in_cluster(), arguments.namespace, arguments.selector, arguments.engine_port, serve)

    run(
        Ports(EVERYWHERE, arguments.port, arguments.metrics_port),
        follow,
        arguments.drain_s,
        arguments.quiet_s,
    )


if __name__ == "__main__":
    main()
