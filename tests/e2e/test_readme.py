"""The README's commands, in its order, with real parts, on the smaller preset."""

import json
import os
import re
import subprocess
from pathlib import Path

import psutil
import pytest

from components.serve.local.backend import LocalBackend
from tests.cluster.conftest import kubectl
from tests.cluster.images import cluster_images
from tests.components.serve.clients import ask, processes_in

ROOT = Path(__file__).parents[2]
PRESETS = "pipelines/presets"
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", README, flags=re.M | re.S)
AGAIN = "petstore.yaml --set lora_r=8"
KEY = "sk-ann-1"
READY_S = 240

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


class Shell:
    """Runs blocks of the README in the checkout, with one state directory for all of them."""

    def __init__(self, home: Path) -> None:
        self.home, self.said, self.warned = home, "", ""
        self.settings: dict[str, str] = {}

    def run(self, block: str) -> int:
        environment = {
            **os.environ,
            "TUNEGATE_HOME": str(self.home),
            "PRESET": f"{PRESETS}/smoke.yaml",
            "COLUMNS": "120",
            **self.settings,
        }
        # The settings of the machine are the set-up's; a state directory of one's own has none yet.
        environment.setdefault("TUNEGATE_DEVICE", "cpu")
        small = block.replace(f"{PRESETS}/petstore.yaml", f"{PRESETS}/smoke.yaml")
        small = small.replace("--model petstore", "--model smoke")
        script = f"set -euo pipefail; test -d .venv && source .venv/bin/activate\n{small}"
        ended = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        self.said, self.warned = ended.stdout, ended.stderr
        return ended.returncode

    def processes(self) -> list[str]:
        """Return the command lines of what this state directory has running."""
        found = processes_in(str(self.home))  # vLLM's engine has another command line than its server
        for process in psutil.process_iter():
            try:
                if str(self.home) in " ".join(process.cmdline()):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory):
    running = Shell(tmp_path_factory.mktemp("readme") / "state")
    yield running
    running.run("tunegate down")


def block_with(words: str) -> str:
    (found,) = (block for block in BLOCKS if words in block)
    return found


def test_every_block_is_one_that_is_run_here_or_is_what_runs_this():
    here = ("make run", "tunegate params", AGAIN, "stop everything", "kubectl apply", "--model petstore")
    run_here = [block_with(words) for words in ("tunegate validate", *here)]
    on_kubeflow = [block_with(f"tunegate {verb}") for verb in ("compile", "submit", "schedule")]
    assert [block for block in BLOCKS if block not in run_here + on_kubeflow] == ["make test\n"]
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_a_dataset_is_validated_as_the_page_shows(shell: Shell):
    assert shell.run(block_with("tunegate validate")) == 0, shell.said + shell.warned
    assert "exit status 3" in shell.said
    (shown,) = re.findall(r"^    REFUSED: .*?\n\n", README, flags=re.M | re.S)
    said = {" ".join(line.split()) for line in shell.said.splitlines()}
    assert {" ".join(line.split()) for line in shown.splitlines()} - {"...", ""} <= said
    assert not (shell.home / "mlflow.db").exists()


def test_make_run_ends_with_an_endpoint_that_answers(shell: Shell):
    assert shell.run(block_with("make run")) == 0, shell.said + shell.warned
    assert "PROMOTED" in shell.said
    curl = re.search(r"^curl -s .*?}'$", shell.said, flags=re.M | re.S)
    assert curl and shell.run(curl[0]) == 0, shell.said + shell.warned
    answer = json.loads(shell.said)
    assert answer["choices"][0]["message"]["content"]
    assert answer["model"] == "smoke"


def test_the_champion_is_shown_asked_and_documented(shell: Shell):
    assert shell.run(block_with("tunegate params")) == 0, shell.said + shell.warned
    for words in ("champion", "ready", "promoted", "card.html", "learning_rate"):
        assert words in shell.said
    (card,) = (shell.home / "releases").glob("*/card.html")
    text = card.read_text()
    for words in ("PROMOTED", "recovery", "cold start", "token F1", "sha256:"):
        assert words.lower() in text.lower()


@pytest.fixture
def keys(shell: Shell, tmp_path: Path):
    """One user who may ask what is served from here on."""
    (tmp_path / "ann").write_text(KEY)
    shell.settings["TUNEGATE_API_KEYS"] = str(tmp_path)
    yield
    del shell.settings["TUNEGATE_API_KEYS"]


def test_a_second_release_skips_what_did_not_change_and_can_be_rolled_back(
    shell: Shell, keys, monkeypatch: pytest.MonkeyPatch
):
    assert shell.run(block_with(AGAIN)) == 0, shell.said + shell.warned
    assert re.search(r"dataset\s+cached: unchanged since", shell.said)
    (live,) = set(re.findall(r"http://127\.0\.0\.1:\d+(?=/v1/chat)", shell.said))
    assert ask(live, "smoke", stream=True, key=KEY) and ask(live, "base", key=KEY)
    for stranger in ("", "sk-eve"):
        with pytest.raises(OSError, match=r"^401: .*invalid_api_key"):
            ask(live, "base", key=stranger)
    assert KEY not in " ".join(shell.processes())
    (deployment,) = re.findall(r"(smoke-\S+) answers at", shell.said)
    for name, value in {"TUNEGATE_HOME": str(shell.home), **shell.settings}.items():
        monkeypatch.setenv(name, value)
    killed = LocalBackend().kill_replica(deployment)
    assert ask(live, "smoke", key=KEY)  # by the other one
    LocalBackend().wait_ready(deployment, READY_S)
    assert {r.name: r.state for r in LocalBackend().replicas(deployment)}[killed] == "ready"
    assert shell.run(block_with("stop everything")) == 0, shell.said + shell.warned
    assert shell.run("tunegate status") == 0
    assert len(re.findall("champion", shell.said)) == 1 and "candidate" not in shell.said
    assert shell.run('tunegate chat "Where can I find a dog toy?"') == 0 and shell.said.strip()


@pytest.fixture(scope="module")
def on_cluster(shell: Shell):
    """The settings of small replicas, real ones at first, in the namespace of `manifests/base`."""
    control, stand_in, serve = cluster_images("control", "stand-in", "serve")
    if kubectl("get", "namespace", "tunegate", "--ignore-not-found"):
        pytest.fail("namespace tunegate: is there already, and this test deletes it; use another cluster")
    settings = {
        "CONTROL_IMAGE": control,
        "SERVE_IMAGE": serve,
        "GPUS": "0",
        "CPU": "200m",
        "ROUTER_CPU": "20m",
        "MEMORY": "5Gi",
        "DRAIN_S": "30",
        "ROUTER_REPLICAS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGISTRY", control.partition("/")[0])
        for name, value in settings.items():
            patch.setenv(f"TUNEGATE_CLUSTER_{name}", value)
        yield lambda: patch.setenv("TUNEGATE_CLUSTER_SERVE_IMAGE", stand_in)
    kubectl("delete", "namespace", "tunegate", "--ignore-not-found", "--wait=false")


def test_the_same_release_is_served_on_a_cluster(shell: Shell, on_cluster):
    assert shell.run(block_with("kubectl apply")) == 0, shell.said + shell.warned
    assert re.search(r"finetune\s+cached: unchanged since", shell.said)
    for words in ("PROMOTED", "replica killed", "http://smoke.tunegate.svc/v1", "champion"):
        assert words in shell.said
    curl = re.search(r"^curl -s .*?}'$", shell.said, flags=re.M | re.S)
    assert curl and shell.run(curl[0]) == 0, shell.said + shell.warned
    assert json.loads(shell.said)["choices"][0]["message"]["content"]


def test_on_a_cluster_a_release_is_rolled_back_and_stopped(shell: Shell, on_cluster):
    on_cluster()  # from here on stand-ins for the engine will do
    assert shell.run(block_with("--model petstore")) == 0, shell.said + shell.warned
    assert "version 1 of smoke serves at http://smoke.tunegate.svc/v1" in shell.said
    assert "smoke is stopped" in shell.said
    replicas = kubectl("get", "deployments", "-n", "tunegate", "-o", "jsonpath={.items[*].spec.replicas}")
    assert sorted(replicas.split()) == ["0", "1"]  # the engines', the router's


def test_down_leaves_no_process(shell: Shell):
    assert shell.run("tunegate down") == 0, shell.said + shell.warned
    assert shell.processes() == []
