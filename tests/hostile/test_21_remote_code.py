"""Models run no code of their own, and one that would have to is refused from its config alone."""

import ast
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.errors import InvalidInput
from components.models import check_base_model, prepare_base_model, prepare_tokenizer
from tests.hostile.hub import COMMIT, NAME, hub
from tests.hostile.odd_server import Asked

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
OWN_CODE = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
REFUSED = {
    "a model type of its own": {"model_type": "strange", "auto_map": OWN_CODE},
    "a class of its own": {
        "model_type": "llama",
        "architectures": ["StrangeForCausalLM"],
        "auto_map": OWN_CODE,
    },
    "a type of its own beside a known class": LLAMA | {"model_type": "strange", "auto_map": OWN_CODE},
    "code in another repository": {
        "model_type": "strange",
        "auto_map": {"AutoConfig": "org/other--code.Config"},
    },
    "a type that nobody knows": {"model_type": "strange", "architectures": ["StrangeForCausalLM"]},
    "no type": {"architectures": ["LlamaForCausalLM"]},
    "a type that is no text": LLAMA | {"model_type": ["llama"]},
    "classes that are no list": LLAMA | {"architectures": "LlamaForCausalLM"},
}
NO_CONFIG = {
    "no JSON": b"{",
    "a list": b"[]",
    "deep": b"[" * 200_000,
    "no UTF-8": b"\xff\xfe\x00",
    "long": b" " * (5 << 20),
}


class Boom:
    """What a pickled file runs when it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return exec, ("raise SystemExit('code of the model was run')",)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def model(tmp_path: Path, tiny_model: Path) -> Path:
    """A copy of the tiny model, to be spoilt."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in tiny_model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.fixture
def asked() -> list[Asked]:
    return []


@pytest.fixture
def serve(
    asked: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[dict[str, bytes]], None]]:
    """Put a model on the hub."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def start(files: dict[str, bytes]) -> None:
            monkeypatch.setenv("HF_ENDPOINT", stack.enter_context(hub(files, asked)))

        yield start


def fetched(asked: list[Asked]) -> set[str]:
    paths = [one.line.split()[1] for one in asked if one.line.startswith("GET")]
    return {path.rpartition("/")[2] for path in paths if "/resolve/" in path}


def files_of(model: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in model.iterdir()}


@pytest.mark.parametrize("ask", [check_base_model, prepare_base_model, prepare_tokenizer])
@pytest.mark.parametrize("config", REFUSED)
def test_a_model_with_code_of_its_own_is_refused_and_says_why(
    model: Path, config: str, ask: Callable[[str], object]
) -> None:
    (model / "config.json").write_text(json.dumps(REFUSED[config]))
    (model / "code.py").write_text("raise SystemExit('code of the model was run')")
    with pytest.raises(InvalidInput) as refused:
        ask(str(model))
    (problem,) = refused.value.problems
    assert "Code that comes with a model is never run" in problem
    assert ("it brings code of its own" in problem) == ("auto_map" in REFUSED[config])


@pytest.mark.parametrize("ask", [check_base_model, prepare_base_model, prepare_tokenizer])
def test_none_of_its_weights_is_fetched(
    model: Path,
    asked: list[Asked],
    serve: Callable[[dict[str, bytes]], None],
    ask: Callable[[str], object],
) -> None:
    config = {"model_type": "strange", "auto_map": OWN_CODE}
    serve(files_of(model) | {"config.json": json.dumps(config).encode(), "code.py": b"raise SystemExit"})
    with pytest.raises(
        InvalidInput, match="never run, so it can't be loaded, and its weights are not fetched"
    ):
        ask(NAME)
    assert fetched(asked) == {"config.json"}


def test_what_was_checked_at_the_hub_is_what_is_fetched(
    model: Path, asked: list[Asked], serve: Callable[[dict[str, bytes]], None]
) -> None:
    known = json.loads((model / "config.json").read_text()) | {"auto_map": OWN_CODE}
    serve(
        files_of(model)
        | {"config.json": json.dumps(known).encode(), "code.py": b"", "pytorch_model.bin": b""}
    )
    check_base_model(NAME)
    assert fetched(asked) == {"config.json"}
    found = prepare_base_model(NAME)
    assert (found.name, found.revision) == (NAME, COMMIT)
    assert {"model.safetensors", "tokenizer.json"} <= fetched(asked)
    assert fetched(asked).isdisjoint({"code.py", "pytorch_model.bin"})
    after_the_first = [
        one.line for one in asked if "/revision/main" in one.line or f"/models/{NAME} " in one.line
    ]
    assert len(after_the_first) == 2  # the name is asked for once a call; the rest is by commit


def test_a_tokenizer_is_fetched_without_weights_and_code(
    model: Path, asked: list[Asked], serve: Callable[[dict[str, bytes]], None]
) -> None:
    serve(files_of(model) | {"code.py": b"raise SystemExit", "tokenizer.pkl": b""})
    found = prepare_tokenizer(NAME)
    assert found.name == COMMIT
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= fetched(asked)
    assert not any(name.endswith((".safetensors", ".py", ".pkl")) for name in fetched(asked))
    assert prepare_base_model(NAME).path == found  # whose weights come when they are needed
    assert "model.safetensors" in fetched(asked)


def test_a_model_of_the_hub_without_safetensors_is_refused_before_the_run(
    model: Path, asked: list[Asked], serve: Callable[[dict[str, bytes]], None]
) -> None:
    files = files_of(model)
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    serve(files)
    with pytest.raises(InvalidInput, match="pickled ones can run code when they are loaded"):
        check_base_model(NAME)


@pytest.mark.parametrize("revision", ["", "c0f", "../../elsewhere"])
def test_a_revision_that_was_remembered_by_half_is_no_revision(
    model: Path,
    tmp_path: Path,
    serve: Callable[[dict[str, bytes]], None],
    monkeypatch: pytest.MonkeyPatch,
    revision: str,
) -> None:
    serve(files_of(model))
    prepare_base_model(NAME)
    (remembered,) = (tmp_path / "hub").glob("*/refs/main")
    remembered.write_text(revision)
    assert prepare_base_model(NAME).revision == COMMIT  # the hub is asked anew
    assert remembered.read_text() == COMMIT
    remembered.write_text(revision)
    with monkeypatch.context() as offline:
        offline.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(InvalidInput, match="is not on this machine"):
            prepare_base_model(NAME)


@pytest.mark.parametrize(
    "address",
    ["http://good.example\\@bad.example", "https://me:secret@hub.example", "ftp://hub.example", "hub"],
)
def test_the_hubs_address_is_parsed_once(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HF_ENDPOINT", address)
    for ask in (check_base_model, prepare_base_model, prepare_tokenizer):
        with pytest.raises(InvalidInput, match="HF_ENDPOINT") as refused:
            ask(NAME)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize("content", NO_CONFIG)
def test_a_config_that_is_none_is_one_clear_error(model: Path, content: str) -> None:
    (model / "config.json").write_bytes(NO_CONFIG[content])
    with pytest.raises(InvalidInput, match=r"config\.json: is no model's") as refused:
        check_base_model(str(model))
    assert len(refused.value.problems) == 1


def test_code_beside_a_model_that_is_known_is_left_alone(model: Path) -> None:
    from components.finetune.model import load_base
    from components.templates.loading import load_tokenizer

    known = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(known | {"auto_map": OWN_CODE}))
    for name in ("tokenizer_config.json",):
        told = json.loads((model / name).read_text())
        (model / name).write_text(
            json.dumps(told | {"auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}})
        )
    (model / "code.py").write_text("raise SystemExit('code of the model was run')")
    base = prepare_base_model(str(model))
    assert type(load_base(base, "eager", "cpu")).__module__.startswith("transformers.")
    load_tokenizer(model)


def test_pickled_weights_are_never_read(model: Path) -> None:
    from components.finetune.model import load_base

    base = prepare_base_model(str(model))
    (model / "model.safetensors").rename(model / "other.safetensors")
    (model / "pytorch_model.bin").write_bytes(pickle.dumps(Boom()))
    with pytest.raises(InvalidInput):
        load_base(base, "eager", "cpu")
    (model / "other.safetensors").unlink()
    with pytest.raises(InvalidInput, match="pickled ones can run code"):
        check_base_model(str(model))


def test_a_chat_template_is_rendered_in_a_sandbox(model: Path) -> None:
    from components.conversations import Conversation
    from components.finetune.data import encode
    from components.templates.chat_tokenizer import ChatTokenizer
    from components.templates.example import Refused

    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    (model / "chat_template.jinja").write_text(escape + "{{ messages[0]['content'] }}")
    row = Conversation.model_validate(
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    )
    (flaw,) = ChatTokenizer(model).measure([row])
    assert isinstance(flaw, Refused) and "unsafe" in flaw.why
    with pytest.raises(InvalidInput, match=r"chat template[^$]*unsafe"):
        encode([row], ChatTokenizer(model), 100)


def test_whoever_loads_a_model_says_that_its_code_is_not_to_run() -> None:
    loaders = {"AutoConfig", "AutoModelForCausalLM", "AutoTokenizer", "PreTrainedTokenizerFast"}
    seen = 0
    for path in [*Path("components").rglob("*.py"), *Path("pipelines").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert "--trust-remote-code" not in node.value, path
            if not isinstance(node, ast.Call):
                continue
            said = [word.value for word in node.keywords if word.arg == "trust_remote_code"]
            assert all(isinstance(value, ast.Constant) and value.value is False for value in said), path
            function = node.func
            if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
                continue
            if function.value.id in loaders and function.attr in ("from_pretrained", "from_config"):
                assert said, f"{path}:{node.lineno}"
                seen += 1
    assert seen >= 7
