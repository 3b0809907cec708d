"""A container that was taken over: no root, no capability, nothing of its image that it could change."""

import copy
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.kubeflow.compile import package_text
from pipelines.kubeflow.pods import STAGE_LABEL
from pipelines.kubeflow.settings import TIMEOUTS_S, CompileSettings
from tests.cluster.package import Json, PackageRun, Task
from tests.cluster.stage_pods import CONTAINER_SECURITY, READ_ONLY, pod_of
from tests.manifests.admission import refusals
from tests.manifests.rendering import Manifest, everything, find, matches, served

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted([*ROOT.glob("containers/*/Dockerfile"), *ROOT.glob("tests/cluster/**/*Dockerfile")])
WRITABLE = {"emptyDir", "persistentVolumeClaim"}


def stages(folder: Path) -> dict[str, Manifest]:
    """Return the pod of each stage: those of a release that is promoted, and of one that is refused."""
    package = folder / "release.yaml"
    package.write_text(package_text(CompileSettings()), encoding="utf-8")
    pods: dict[str, Manifest] = {}

    def note(task: Task, answer: bool) -> Json:
        pods[task.name.removesuffix("-2")] = pod_of(task, task.name, "run", "tunegate")
        wrote = task.executor_input["outputs"]
        said = "" if task.name == "find-champion" else answer
        return {
            "parameterValues": dict.fromkeys(wrote["parameters"], said),
            "artifacts": {name: {"artifacts": [{"metadata": {}}]} for name in wrote["artifacts"]},
        }

    for answer in (True, False):
        form = {"dataset": "/cache/rows.jsonl", "image_repository": "registry/name"}
        PackageRun(package, "run", partial(note, answer=answer)).start(form)
    return pods


@pytest.fixture(scope="module")
def stage_pods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifest]:
    return stages(tmp_path_factory.mktemp("package"))


def as_argo_makes_it(pod: Manifest) -> Manifest:
    """Add what Argo and KFP bring themselves: the executor before and beside, and the launcher's copy."""
    made = copy.deepcopy(pod)
    for volume in made["spec"]["volumes"]:
        if volume.pop("hostPath", None):  # the tests' folder of artifacts; KFP has them in a store
            volume["emptyDir"] = {}
    executor = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 8737,
    }
    launcher = {**CONTAINER_SECURITY, "runAsNonRoot": True}
    made["spec"]["initContainers"] = [
        {"name": "init", "image": "argoexec", "securityContext": executor},
        {"name": "kfp-launcher", "image": "kfp-launcher", "securityContext": launcher},
    ]
    made["spec"]["containers"].insert(0, {"name": "wait", "image": "argoexec", "securityContext": executor})
    sources = [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}]
    made["spec"]["volumes"].append({"name": "kube-api-access-x", "projected": {"sources": sources}})
    return made


def confined(container: Manifest, pod: Manifest) -> list[str]:
    """Return what a container may do that none should."""
    own, shared = container.get("securityContext", {}), pod.get("securityContext", {})
    either = {**shared, **own}
    wanted = {
        "may be root": either.get("runAsNonRoot") is True and either.get("runAsUser", 0) > 0,
        "may get more rights": own.get("allowPrivilegeEscalation") is False and not own.get("privileged"),
        "has capabilities": own.get("capabilities") == {"drop": ["ALL"]},
        "may write to its root file system": own.get("readOnlyRootFilesystem") is True,
        "makes any system call": either.get("seccompProfile") == {"type": "RuntimeDefault"},
    }
    return [problem for problem, holds in wanted.items() if not holds]


def test_every_container_of_the_manifests_and_of_what_is_served_is_confined() -> None:
    workloads = [m for m in [*everything(), *served()] if "template" in m.get("spec", {})]
    pods = {
        m["metadata"]["name"]: m["spec"]["template"]["spec"] for m in workloads if m["kind"] != "NodePool"
    }

    assert pods.keys() == {"mlflow", "mlflow-database", "pet-r1", "pet-r1-router"}
    for name, pod in pods.items():
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            assert confined(container, pod) == [], f"{name} {container['name']}"
            assert_can_write(container, pod)


def test_every_stage_is_confined_by_the_package_and_the_manifests(stage_pods: dict[str, Manifest]) -> None:
    assert stage_pods.keys() == {stage.replace("_", "-") for stage in TIMEOUTS_S}
    for name, made in stage_pods.items():
        (container,) = made["spec"]["containers"]
        assert confined(container, made["spec"]) == [], name
        assert_can_write(container, made["spec"])
        assert container["securityContext"]["runAsUser"] == 10001, "as the images have it"


def assert_can_write(container: Manifest, pod: Manifest) -> None:
    """Check that there is a volume to write to where temporary files and the home folder are."""
    kinds = {volume["name"]: WRITABLE & volume.keys() for volume in pod["volumes"]}  # others are claims
    places = {
        m["mountPath"]
        for m in container["volumeMounts"]
        if kinds.get(m["name"], True) and not m.get("readOnly")
    }
    home = {v["name"]: v.get("value") for v in container.get("env", [])}.get("HOME", "/tmp")
    assert {"/tmp", home} <= places, container["name"]


def test_what_kfp_has_no_word_for_is_added_to_each_stage_when_its_pod_is_made(
    stage_pods: dict[str, Manifest],
) -> None:
    """The test node knows no such policy, and no library evaluates what it makes: this is what it says."""
    policy = find("read-only-stages", "MutatingAdmissionPolicy", "tunegate-stages")["spec"]
    selector = policy["matchConstraints"]["objectSelector"]
    (mutation,) = policy["mutations"]

    assert selector == {"matchExpressions": [{"key": STAGE_LABEL, "operator": "Exists"}]}
    for made in stage_pods.values():
        assert STAGE_LABEL in made["metadata"]["labels"]
    expression = mutation["applyConfiguration"]["expression"]
    assert "containers.map(c, " in expression and "name: c.name" in expression
    (added,) = READ_ONLY  # what the tests' pods have in its place
    assert f"securityContext{{{added}: true}}" in expression
    binding = find("read-only-stages", "MutatingAdmissionPolicyBinding", "tunegate-stages")["spec"]
    namespace = {"kubernetes.io/metadata.name": "tunegate"}
    assert binding["policyName"] == "tunegate-stages"
    assert matches(binding["matchResources"]["namespaceSelector"], namespace)


def test_stages_are_let_in_as_argo_makes_them(stage_pods: dict[str, Manifest]) -> None:
    for name, made in stage_pods.items():
        assert refusals(as_argo_makes_it(made)) == [], name


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"runAsUser": 0}, "a container may run as root"),
        ({"runAsNonRoot": False}, "a container may run as root"),
        ({"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}}, "a container is privileged"),
    ],
    ids=str,
)
def test_a_stage_that_asks_for_more_is_refused(
    stage_pods: dict[str, Manifest], change: dict[str, Any], rule: str
) -> None:
    made = as_argo_makes_it(stage_pods["finetune"])
    made["spec"]["containers"][1]["securityContext"].update(change)

    (told,) = refusals(made)
    assert told.startswith(rule)


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_image_runs_as_no_root_and_its_bases_are_pinned_or_say_why_not(path: Path) -> None:
    users, problems = read_dockerfile(path.read_text(encoding="utf-8"))

    assert problems == []
    if path.is_relative_to(ROOT / "containers"):
        assert users == ["10001:10001"]
    elif users:  # else its base, which is ours, has said so
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def read_dockerfile(text: str) -> tuple[list[str], list[str]]:
    """Return the users that a Dockerfile names, and each base that is neither pinned nor explained."""
    users, problems, bases, above = [], [], set(), ""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if line.startswith("#"):
            above += line
            continue
        if word == "ARG" and re.match(r"\w+_IMAGE\b", rest):
            bases.add(rest.partition("=")[0])
            if "@sha256:" not in rest and "digest" not in above:
                problems.append(rest)
        elif word == "FROM":
            named = re.match(r"\$\{(\w+)\}", rest)
            if "@sha256:" not in rest and "digest" not in above and not (named and named[1] in bases):
                problems.append(rest)
        elif word == "USER":
            users.append(rest)
        above = ""
    return users, problems


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("FROM python:3.11", ["python:3.11"]),
        ("# The latest.\nFROM python:3.11", ["python:3.11"]),
        ("ARG BASE_IMAGE=python:3.11\nFROM ${BASE_IMAGE}", ["BASE_IMAGE=python:3.11"]),
        (
            "# By no digest, because.\nARG BASE_IMAGE=a:1\nARG OTHER_IMAGE=b:1\nFROM ${OTHER_IMAGE}",
            ["OTHER_IMAGE=b:1"],
        ),
        ("# By no digest, because.\nARG BASE_IMAGE=a:1\nFROM ${BASE_IMAGE}", []),
        ("FROM python@sha256:" + "0" * 64, []),
        ("FROM ${UNKNOWN}", ["${UNKNOWN}"]),
    ],
)
def test_a_base_without_digest_and_reason_would_be_seen(text: str, problems: list[str]) -> None:
    assert read_dockerfile(text)[1] == problems
