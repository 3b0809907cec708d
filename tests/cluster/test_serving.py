"""The cluster's back end on a real cluster: real pods, Services and routers; the replicas are stand-ins."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from components.errors import InvalidInput, NotReady
from components.oci.adapter_images import PushedImage
from components.serve.kubernetes.backend import KubernetesBackend
from components.serve.kubernetes.cluster import Cluster, Conflict
from components.serve.spec import ServingSpec
from tests.cluster.conftest import (
    BackendOf,
    MakeSpec,
    assert_fails_soon,
    kubectl,
    objects,
    workers,
)
from tests.components.serve.clients import ask, continuous_requests
from tests.components.serve.contract import (  # noqa: F401  # tests and a fixture that pytest finds here
    promoted,
    refuse_while_stopped,
    switch_and_switch_back,
    test_a_champion_answers_at_both_endpoints,
    test_a_number_of_replicas_that_is_not_laid_out_is_refused,
    test_an_unknown_deployment_is_named,
    test_another_spec_under_the_same_name_is_refused,
    test_one_at_a_time_moves_the_traffic_of_a_model,
    test_the_champion_is_not_retired,
    test_what_is_intended_outlives_whoever_intends_it,
)

READY_S = 120


def versions(namespace: str, name: str) -> dict[str, tuple[int, str]]:
    """Return generation and resource version of everything that is applied for a deployment."""
    listed = kubectl(
        "get",
        "deployments,services,poddisruptionbudgets,networkpolicies",
        "--namespace",
        namespace,
        "--selector",
        f"app.kubernetes.io/instance={name}",
        "-o",
        "json",
    )
    return {
        f"{found['kind']}/{found['metadata']['name']}": (
            found["metadata"].get("generation", 0),
            json.dumps(found["metadata"].get("managedFields"), sort_keys=True),
        )
        for found in json.loads(listed)["items"]
    }


def test_the_adapter_was_pulled_by_digest_and_verified(
    backend: KubernetesBackend, cluster: Cluster, champion: ServingSpec
) -> None:
    pod = backend.replicas(champion.name)[0].name

    said = cluster.log_end(pod, "adapter", previous=False)

    assert said == f"{champion.image}: adapter {champion.adapter_digest} verified"


def test_requests_are_spread_over_the_replicas(backend: KubernetesBackend, champion: ServingSpec) -> None:
    waiting = {replica.name for replica in backend.replicas(champion.name)}
    deadline = time.monotonic() + 30  # until the router has heard of the second one

    while waiting:
        assert time.monotonic() < deadline, waiting
        answer = ask(backend.live_endpoint("pet"))
        waiting = {name for name in waiting if name not in answer}


def test_a_second_apply_changes_nothing(
    backend: KubernetesBackend, namespace: str, champion: ServingSpec
) -> None:
    before = versions(namespace, champion.name)

    backend.apply(champion)

    assert versions(namespace, champion.name) == before
    assert len(before) == 7


def test_a_killed_replica_comes_back_and_few_requests_notice(
    backend: KubernetesBackend, champion: ServingSpec
) -> None:
    before = {replica.name for replica in backend.replicas(champion.name)}
    with continuous_requests(backend.live_endpoint("pet"), (champion.name,)) as asked:
        asked.wait_for(champion.name, 20)
        killed = backend.kill_replica(champion.name)
        assert "ready" in [replica.state for replica in backend.replicas(champion.name)]
        backend.wait_ready(champion.name, READY_S)
        asked.wait_for(champion.name, 20)

    after = {replica.name for replica in backend.replicas(champion.name)}
    assert before - after == {killed}
    assert len(after) == 2
    # Only a request that the killed replica had begun can't be asked again by the router.
    assert len(asked.failures) <= 4, asked.failures


def test_traffic_is_switched_and_switched_back_without_a_failed_request(
    backend: KubernetesBackend,
    backend_of: BackendOf,
    champion: ServingSpec,
    make_spec: MakeSpec,
    namespace: str,
) -> None:
    new = make_spec("pet-new")

    asked = switch_and_switch_back(backend, backend_of("--answer-s", "0.1"), champion, new)

    assert sum(asked.answers.values()) > 50
    assert objects(namespace, new.name) == []


def test_what_is_not_ready_is_not_promoted(
    backend: KubernetesBackend, backend_of: BackendOf, champion: ServingSpec, make_spec: MakeSpec
) -> None:
    spec = make_spec("pet-shy", replicas=1)
    backend_of("--hide-adapter").apply(spec)
    try:
        with pytest.raises(NotReady, match=r"within 15 s, still waiting for pet-shy-.*does not list pet"):
            backend.wait_ready(spec.name, 15)
        with pytest.raises(NotReady, match=r"can't take live traffic: pet-shy-\S+ is starting"):
            backend.promote(spec.name)
        assert backend.champion("pet") == champion
    finally:
        backend.retire(spec.name)


FAILURES = [
    pytest.param(
        {},
        ["--die"],
        {},
        r"pet-bad-\S+ \(engine\): keeps dying \(exit code 1\).*\nRuntimeError: engine core failed to start",
        id="dies",
    ),
    pytest.param(
        {"SERVE_IMAGE": "no-such-image"},
        [],
        {},
        r"\(engine\): image pull: .*no-such-image",
        id="no such image",
    ),
    pytest.param({"CPU": "1000"}, [], {}, r"unschedulable: 0/\d+ nodes.*Insufficient cpu", id="no such node"),
    pytest.param(
        {"GPUS": "1", "GPU_TYPE": "NVIDIA-Z1000"},
        [],
        {},
        "unschedulable: .*TUNEGATE_CLUSTER_GPUS",
        id="no GPU",
    ),
    pytest.param({}, ["--take-mib", "600"], {}, "out of memory: .*limit of 256Mi", id="out of memory"),
    pytest.param(
        {"MAX_START_S": "10"},
        ["--never-healthy"],
        {},
        "failed startup probe.*/health does not answer 200",
        id="start-up probe",
    ),
    pytest.param(
        {},
        [],
        {"adapter_digest": "sha256:" + "1" * 64},
        r"\(adapter\): refused its input.*holds adapter sha256:\w+, wanted sha256:1111",
        id="another adapter",
    ),
]


@pytest.mark.parametrize(("settings", "flags", "changes", "words"), FAILURES)
def test_a_roll_out_that_fails_says_why_at_once_and_leaves_nothing(
    serving: pytest.MonkeyPatch,
    images: tuple[str, str],
    backend_of: BackendOf,
    make_spec: MakeSpec,
    namespace: str,
    settings: dict[str, str],
    flags: list[str],
    changes: dict[str, Any],
    words: str,
) -> None:
    spec = make_spec("pet-bad", replicas=1, **changes)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            value = f"{images[0].partition('/')[0]}/{value}:none" if name == "SERVE_IMAGE" else value
            patch.setenv(f"TUNEGATE_CLUSTER_{name}", value)
        backend = backend_of(*flags)
    assert_fails_soon(backend, spec, namespace, words)
    assert spec not in backend.deployments()


def test_somebody_elses_object_is_left_alone(
    backend: KubernetesBackend, make_spec: MakeSpec, namespace: str
) -> None:
    spec = make_spec("pet-taken")
    kubectl("create", "service", "clusterip", spec.name, "--tcp=81:81", "--namespace", namespace)
    try:
        with pytest.raises(
            InvalidInput, match="Service pet-taken: belongs to somebody else and is left alone"
        ):
            backend.apply(spec)
        backend.retire(spec.name)
        assert sorted(objects(namespace, spec.name)) == [f"Endpoints/{spec.name}", f"Service/{spec.name}"]
        assert "81" in kubectl(
            "get", "service", spec.name, "--namespace", namespace, "-o", "jsonpath={.spec.ports[0].port}"
        )
    finally:
        kubectl("delete", "service", spec.name, "--namespace", namespace)


def test_a_namespace_without_the_accounts_is_told_what_to_apply(
    serving: pytest.MonkeyPatch, backend_of: BackendOf, make_spec: MakeSpec, namespace: str
) -> None:
    spec = make_spec("pet-lost", replicas=1)
    bare = f"{namespace}-bare"
    kubectl("create", "namespace", bare)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TUNEGATE_CLUSTER_NAMESPACE", bare)
            backend = backend_of()
        backend.apply(spec)
        with pytest.raises(NotReady, match=r"serviceaccount .tunegate-router. not found; kubectl apply -k"):
            backend.wait_ready(spec.name, READY_S)
        backend.retire(spec.name)
    finally:
        kubectl("delete", "namespace", bare, "--wait=false")


def test_somebody_elses_live_service_is_left_alone(
    backend: KubernetesBackend, make_spec: MakeSpec, namespace: str
) -> None:
    spec = make_spec("dog-r1", model_name="dog", replicas=1)
    kubectl("create", "service", "clusterip", "dog", "--tcp=81:81", "--namespace", namespace)
    backend.apply(spec)
    try:
        backend.wait_ready(spec.name, READY_S)
        with pytest.raises(InvalidInput, match="Service dog: belongs to somebody else"):
            backend.promote(spec.name)
    finally:
        kubectl("delete", "service", "dog", "--namespace", namespace)
        backend.retire(spec.name)


def test_a_field_that_somebody_else_manages_is_told_and_not_taken(
    backend: KubernetesBackend, cluster: Cluster, make_spec: MakeSpec, namespace: str
) -> None:
    spec = make_spec("pet-shared", replicas=1)
    backend.apply(spec)
    path = ("get", "deployment", spec.name, "--namespace", namespace, "-o")
    theirs = (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: pet-shared}\n"
        "spec: {template: {spec: {terminationGracePeriodSeconds: 7}}}\n"
    )
    try:
        kubectl(
            *("apply", "--server-side", "--force-conflicts", "--validate=false"),
            "--field-manager=platform-team",
            *("--namespace", namespace, "-f", "-"),
            stdin=theirs,
        )
        with pytest.raises(Conflict, match=r"terminationGracePeriodSeconds: .*platform-team"):
            backend.apply(spec)
        kept = kubectl(*path, "jsonpath={.spec.template.spec.terminationGracePeriodSeconds}")
        assert kept == "7"
    finally:
        backend.retire(spec.name)
    assert objects(namespace, spec.name) == []


def test_scaled_to_nothing_and_back(backend: KubernetesBackend, make_spec: MakeSpec) -> None:
    spec = make_spec("7b-pet-cold", model_name="7b-pet")  # no Service may be called so
    backend.apply(spec)
    try:
        backend.wait_ready(spec.name, READY_S)

        backend.scale(spec.name, 0)
        deadline = time.monotonic() + 60
        while [r.state for r in backend.replicas(spec.name)] != ["stopped", "stopped"]:
            assert time.monotonic() < deadline, backend.replicas(spec.name)
            time.sleep(0.2)
        refuse_while_stopped(backend, spec.name)
        assert "pet-cold" in ask(backend.endpoint(spec.name), spec.model_name)
    finally:
        backend.retire(spec.name)


def test_an_evicted_pod_is_replaced_and_a_second_one_waits_for_that(
    backend: KubernetesBackend, champion: ServingSpec, namespace: str
) -> None:
    backend.wait_ready(champion.name, READY_S)
    first, second = (replica.name for replica in backend.replicas(champion.name))

    def evict(pod: str) -> str:
        eviction = f'{{"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {{"name": "{pod}"}}}}'
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        try:
            return kubectl("create", "--raw", path, "-f", "-", stdin=eviction)
        except AssertionError as error:
            return str(error)

    with continuous_requests(backend.live_endpoint("pet"), (champion.name,)) as asked:
        asked.wait_for(champion.name, 10)
        assert "Success" in evict(first)
        assert "disruption budget" in evict(second)
        backend.wait_ready(champion.name, READY_S)
        asked.wait_for(champion.name, 10)

    assert asked.failures == []
    assert first not in {replica.name for replica in backend.replicas(champion.name)}


def test_retiring_what_is_not_there_is_no_error(backend: KubernetesBackend) -> None:
    backend.retire("pet-unknown")


def test_an_image_on_this_machines_disk_is_refused(
    backend: KubernetesBackend, make_spec: MakeSpec, image: PushedImage
) -> None:
    with pytest.raises(InvalidInput, match="is on this machine's disk; set image_repository to a registry"):
        backend.apply(make_spec("pet-disk", image="oci:images@" + image.manifest_digest))


def test_a_namespace_that_is_not_there_is_named(
    serving: pytest.MonkeyPatch, backend_of: BackendOf, make_spec: MakeSpec
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEGATE_CLUSTER_NAMESPACE", "nowhere")
        backend = backend_of()

    with pytest.raises(InvalidInput, match="there is no namespace nowhere; kubectl apply -k manifests/base"):
        backend.apply(make_spec("pet-nowhere"))


def test_the_router_forgets_a_replica_that_was_killed(
    backend: KubernetesBackend, champion: ServingSpec, namespace: str
) -> None:
    backend.wait_ready(champion.name, READY_S)
    killed = backend.kill_replica(champion.name)
    deadline = time.monotonic() + READY_S
    replicas = backend.replicas(champion.name)
    while any(replica.state != "ready" or replica.name == killed for replica in replicas):
        assert time.monotonic() < deadline, (killed, replicas)
        time.sleep(0.5)
        replicas = backend.replicas(champion.name)
    wanted = sorted(replica.url for replica in replicas)

    deadline = time.monotonic() + 20
    while (known := workers(namespace, champion.name)) != wanted:
        assert time.monotonic() < deadline, (killed, known, wanted)
        time.sleep(0.5)


@pytest.mark.parametrize("path", ["/add_worker?url=http://192.0.2.1", "/list_workers", "/metrics", "/ready"])
def test_a_client_rules_nothing(backend: KubernetesBackend, champion: ServingSpec, path: str) -> None:
    for method in ("GET", "POST"):
        asked = urllib.request.Request(backend.endpoint(champion.name) + path, method=method)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=10)

        assert refused.value.code == 404
