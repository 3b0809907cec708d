"""A base model's tokenizer, without its weights and without torch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from components.errors import InvalidInput
from components.storage import locked
from components.web import quoted

_SAVE = (
    "import pathlib, sys; from components.models.tokenizer import save_tokenizer; "
    "save_tokenizer(*map(pathlib.Path, sys.argv[1:]))"
)


def spare_torch() -> None:
    """Let this process do without torch from here on: where it has none yet, transformers finds none.

    For a process that reads tokenizers only: `AutoTokenizer` would bring torch and everything that computes,
    10 s on two slow cores instead of 3. None of it makes a token another one.
    """
    if "torch" not in sys.modules and "transformers" not in sys.modules:
        sys.modules["torch"] = None  # type: ignore[assignment]  # so it is said that there is none
        os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")


def tokenizer_of_package(gguf: Path, folder: Path) -> Path:
    """Return the directory of a GGUF file's tokenizer, which is made in a folder where it is not there yet.

    Raises:
        InvalidInput: It can't be made.
    """
    target = folder / f"{gguf.stem}.tokenizer"
    with locked(target.with_name(target.name + ".lock")):
        if not target.is_dir():
            unfinished = target.with_name(target.name + ".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            # In a process of its own: what reads the file needs torch, and this one may do without.
            command = [sys.executable, "-P", "-c", _SAVE, str(gguf), str(unfinished)]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace") as running:
                import transformers.models.auto.tokenization_auto  # noqa: F401  # whoever asks needs it next

                said = running.communicate()[1]
            if running.returncode:
                why = quoted(said.strip().rpartition("\n")[2])
                raise InvalidInput(f"base_model file {gguf.name}", [f"its tokenizer can't be read: {why}"])
            unfinished.rename(target)
    return target


def save_tokenizer(gguf: Path, target: Path) -> None:
    """Write the tokenizer of a GGUF file as transformers and vLLM load it."""
    from transformers import PreTrainedTokenizerFast

    # Not AutoTokenizer, which reads the file's configuration first and comes to the same.
    tokenizer = PreTrainedTokenizerFast.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, trust_remote_code=False
    )
    tokenizer.save_pretrained(target)
