"""The router in a pod: what it is started with, and which workers are taken out of it."""

from argparse import Namespace

import pytest

from components.serve.kubernetes import router_sweep
from components.serve.kubernetes.router import discovery_options
from tests.components.serve.kubernetes.fake_cluster import FakeCluster

WORKERS = ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]


def test_the_router_finds_the_engines_of_its_deployment() -> None:
    arguments = Namespace(selector="a/b=c,d=e", namespace="pets", engine_port=8000, port=1, metrics_port=2)

    options = discovery_options(arguments)

    assert options["service_discovery"]
    assert options["selector"] == {"a/b": "c", "d": "e"}
    assert options["service_discovery_namespace"] == "pets"
    assert (options["host"], options["port"], options["worker_urls"]) == ("0.0.0.0", 1, [])


@pytest.mark.parametrize(
    ("addresses", "wanted"),
    [
        (["10.0.0.1", "10.0.0.2"], []),
        (["10.0.0.2", "10.0.0.3"], ["http://10.0.0.1:8000"]),
        ([None], WORKERS),
        ([], WORKERS),
    ],
    ids=["all there", "one gone", "one without an address yet", "none there"],
)
def test_workers_whose_pods_are_gone_are_found(addresses: list[str | None], wanted: list[str]) -> None:
    pods = [{"status": {"podIP": address}} for address in addresses]

    assert router_sweep.gone(WORKERS, pods) == wanted


def test_they_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    cluster = FakeCluster()
    for name, labels, address in (("own", {"a": "b"}, "10.0.0.1"), ("another", {}, "10.0.0.2")):
        pod = {"metadata": {"name": name, "labels": labels}, "status": {"podIP": address}}
        cluster.objects["Pod", name] = pod
    monkeypatch.setattr(router_sweep, "workers", lambda url: WORKERS)
    monkeypatch.setattr(router_sweep, "remove_worker", lambda url, worker: removed.append(worker))

    assert router_sweep.sweep("http://router", cluster, "a=b") == removed == WORKERS[1:]  # type: ignore[arg-type]
    assert cluster.listed == {"Pod": 1}
