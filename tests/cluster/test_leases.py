"""The lease of a model's traffic on a real cluster: one at a time, told apart, taken over when it expires."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from components.serve.kubernetes import leases as module
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.cluster import Cluster, Outdated
from components.serve.kubernetes.leases import KubernetesLease, KubernetesLeases, lease_name
from components.serve.lease import Intent, LeaseLost, LeaseTaken
from tests.cluster.conftest import kubectl

INTENT = Intent(kind="promotion", model_name="held", by="release r1", began_at=1.0, to_deployment="held-r1")


def lease_of(model_name: str, namespace: str) -> dict[str, dict[str, str]]:
    """Return the Lease of a model as kubectl shows it."""
    shown = kubectl("get", "lease", lease_name(model_name), "--namespace", namespace, "-o", "yaml")
    found: dict[str, dict[str, str]] = yaml.safe_load(shown)
    return found


def test_the_second_is_told_who_holds_it(backend: KubernetesBackend, namespace: str) -> None:
    with backend.lease("held", "release r1 (process 7 on pod)", print) as lease:
        lease.require_held()
        assert str(lease_of("held", namespace)["spec"]["holderIdentity"]).startswith("release r1 (process 7")
        with (
            pytest.raises(LeaseTaken, match=r"is being moved by release r1 \(process 7 on pod\) since 20"),
            backend.lease("held", "release r2", print, wait_s=0),
        ):
            pass
        lease.require_held()
    assert "holderIdentity" not in lease_of("held", namespace)["spec"]


def test_an_expired_one_is_taken_over_and_its_holder_told(
    cluster: Cluster, backend: KubernetesBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DURATION_S", 3)
    gone = KubernetesLease(cluster, KubernetesLeases(cluster)._acquire("held", "release r1", print, 10))
    gone.intend(INTENT)  # and nobody renews it

    with backend.lease("held", "release r2", print, wait_s=60) as lease:
        assert lease.intent() == INTENT
        lease.intend(None)
        with pytest.raises(LeaseLost, match="lost to release r2 since 20"):
            gone.intend(INTENT)
        assert lease.intent() is None
    assert backend.unfinished("held") is None


def test_one_that_is_renewed_is_not_taken_over(
    backend: KubernetesBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DURATION_S", 3)
    with backend.lease("held", "release r1", print) as lease:
        with (
            pytest.raises(LeaseTaken, match="is being moved by release r1 since"),
            backend.lease("held", "release r2", print, wait_s=10),
        ):
            pass
        lease.require_held()


def test_of_several_at_once_one_has_it_at_a_time(backend: KubernetesBackend, namespace: str) -> None:
    inside: list[str] = []

    def work(name: str) -> None:
        with backend.lease("busy", name, print, wait_s=120) as lease:
            inside.append(name)
            assert inside == [name]
            lease.require_held()
            inside.remove(name)

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(work, f"release r{number}") for number in range(4)]:
            done.result()
    assert int(lease_of("busy", namespace)["spec"]["leaseTransitions"]) == 4


def test_a_write_over_another_version_is_refused(cluster: Cluster, backend: KubernetesBackend) -> None:
    with backend.lease("held", "release r1", print) as lease:
        before = cluster.get("Lease", lease_name("held"))
        assert before
        lease.require_held()
        with pytest.raises(Outdated):
            cluster.replace(before)
        with pytest.raises(Outdated):
            cluster.create({**before, "metadata": {"name": lease_name("held")}})


def test_an_annotation_of_a_person_loses_no_lease(backend: KubernetesBackend, namespace: str) -> None:
    with backend.lease("held", "release r1", print) as lease:
        kubectl("annotate", "lease", lease_name("held"), "--namespace", namespace, "note=by-hand")
        lease.intend(INTENT)
        annotations = lease_of("held", namespace)["metadata"]["annotations"]
        assert annotations["note"] == "by-hand"  # type: ignore[index]
        lease.intend(None)
