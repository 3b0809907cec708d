"""Takes engines whose pods are gone out of the router of this pod.

    python -m components.serve.kubernetes.router_sweep --selector=... --namespace=...

vllm-router learns that a pod is ending, but not that one is gone at once, by force or with its node. It
would go on asking the address, which the cluster may give to another pod: of another model, say.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from components.errors import TunegateError
from components.serve.router import remove_worker, workers

if TYPE_CHECKING:
    from components.serve.kubernetes.cluster import Cluster

EVERY_S = 3.0


def gone(worker_urls: Iterable[str], pods: Iterable[dict[str, Any]]) -> list[str]:
    """Return the workers at whose address there is no pod of ours."""
    addresses = {(pod.get("status") or {}).get("podIP") for pod in pods}
    return [url for url in worker_urls if urlparse(url).hostname not in addresses]


def sweep(router_url: str, cluster: "Cluster", selector: str) -> list[str]:
    """Take out the workers that are gone and return them."""
    # Workers first: one that is added meanwhile would look as if it had no pod.
    known = workers(router_url)
    left = gone(known, cluster.list("Pod", selector))
    for url in left:
        remove_worker(router_url, url)
    return left


def main() -> None:
    """Sweep every few seconds."""
    parser = argparse.ArgumentParser(description="Take engines that are gone out of a router.")
    parser.add_argument("--selector", required=True, help="Labels of the engines' pods: key=value,...")
    parser.add_argument("--namespace", required=True, help="Where the pods are.")
    parser.add_argument("--port", type=int, default=8000, help="Port of the router.")
    arguments = parser.parse_args()
    time.sleep(EVERY_S)
    # Only now: beside a deployment that is starting, these imports would be noticed.
    from components.serve.kubernetes.cluster import Cluster

    cluster = Cluster(arguments.namespace)
    while True:
        try:
            for url in sweep(f"http://127.0.0.1:{arguments.port}", cluster, arguments.selector):
                print(f"{url}: its pod is gone, taken out", flush=True)
        except TunegateError as error:  # the router is not up yet, or the API server is away
            print(error, file=sys.stderr, flush=True)
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
