"""What every test stands on: a state directory of its own, and a tiny model made on the spot."""

import functools
import os
import shutil
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.dataset.checks.secrets import CACHE_VARIABLE
from components.tracking.stage import Stage, open_stage

# With these set, as in CI, a command draws for another terminal than a test has, or flushes what it says.
SHELLS_OWN = (
    "COLUMNS",
    "FORCE_COLOR",
    "GITHUB_ACTIONS",
    "NO_COLOR",
    "PYTHONUNBUFFERED",
    "PY_COLORS",
    "TERM",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a room's tests in one worker of pytest-xdist, whole releases in one, other real engines in one.

    Workers import less then: torch, vLLM, kfp and MLflow take seconds each. Tests of the cluster mostly
    wait, and hostile ones are of all rooms, so there a file is enough.
    """
    from xdist.scheduler import LoadFileScheduling

    @functools.cache
    def scope_of(file: str) -> str:
        path = Path(file)
        if "mark.e2e" in (config.rootpath / file).read_text(encoding="utf-8"):
            return "releases" if {"e2e", "cluster"} & {*path.parts} else "engines"
        if path.parent == Path("tests/components/engine"):
            return "engines"
        return file if {"cluster", "hostile"} & {*path.parts} else str(path.parent)

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid.partition("::")[0])

    return Scheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Set up the process: what the tests start can be interrupted, does not spin, and shares base models."""
    config.addinivalue_line("markers", "release: runs the graph, a process a stage, with stand-ins for them")
    config.addinivalue_line("markers", "cluster: needs a cluster; that is all of tests/cluster")
    if "TUNEGATE_MODELS" not in os.environ:  # the workers of pytest-xdist have it from here
        models = tempfile.mkdtemp(prefix="tunegate-models-")
        os.environ["TUNEGATE_MODELS"] = models
        config.add_cleanup(functools.partial(shutil.rmtree, models))
    if CACHE_VARIABLE not in os.environ:  # rules that take seconds to compile
        rules = tempfile.mkdtemp(prefix="tunegate-rules-")
        os.environ[CACHE_VARIABLE] = rules
        config.add_cleanup(functools.partial(shutil.rmtree, rules))
    # Even where they run in the background of a shell.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Threads of torch that spin while they wait make each other many times slower beside another worker's.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def pytest_sessionstart() -> None:
    """Forget what the shell of whoever runs the tests says of its terminal; typer asks as it is imported."""
    for name in SHELLS_OWN:
        os.environ.pop(name, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where everything is at hand, a test that is skipped has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("TUNEGATE_TEST_SKIPS_NOTHING"):
        report.outcome, report.longrepr = "failed", f"skipped, but nothing may be here: {report.longrepr}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a cluster, and begin with what takes longest: real engines, then the cluster.

    Real engines in pods come after those on this machine: their images are built meanwhile.
    """
    for item in items:
        if "cluster" in item.path.parts:
            item.add_marker("cluster")
    first = {item.path for item in items if item.get_closest_marker("e2e")}

    def place(item: pytest.Item) -> tuple[bool, bool]:
        on_cluster = "cluster" in item.path.parts
        return item.path not in first, on_cluster == (item.path in first)

    items.sort(key=place)


@pytest.fixture(scope="session")
def tracking_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database whose tables are made once a test session."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def state(tmp_path: Path, tracking_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state directory with a release going on."""
    home = tmp_path / "state"
    home.mkdir()
    (home / "mlflow.db").write_bytes(tracking_database.read_bytes())
    monkeypatch.setenv("TUNEGATE_HOME", str(home))
    monkeypatch.setenv("RELEASE_ID", "test-release")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return home


@pytest.fixture
def from_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let datasets be fetched from servers on this machine, as tests have them."""
    monkeypatch.setenv("TUNEGATE_PRIVATE_DATASETS", '["127.0.0.0/8"]')


@pytest.fixture
def stage(state: Path) -> Iterator[Stage]:
    """A stage that is running, with a real MLflow run behind it."""
    with open_stage("test-stage", {}) as running:
        yield running


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of about 100,000 weights with a byte-level tokenizer and a chat template."""
    # With them, no process is started beside each run of the dataset's stage.
    import matplotlib.backends.backend_agg  # noqa: F401
    import py3langid.langid  # noqa: F401
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    specials = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*specials, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(specials)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
    wrapped.chat_template = (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,  # the smallest that vLLM's attention has on a CPU
        max_position_embeddings=2048,
        eos_token_id=0,
        pad_token_id=0,
        tie_word_embeddings=True,
    )
    path = tmp_path_factory.mktemp("tiny-model")
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    wrapped.save_pretrained(path)
    return path
