"""The base model's tokenizer, and the tokens that are not text to it."""

import hashlib
import json
import re
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.errors import InvalidInput


def load_tokenizer(path: Path) -> Any:
    """Return the tokenizer of a base model, which has a chat template.

    Args:
        path: Directory of the base model.

    Raises:
        InvalidInput: The tokenizer can't be loaded or has no chat template.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"base_model {path}", [f"its tokenizer can't be loaded: {error}"]) from error
    if not tokenizer.chat_template:
        problem = "its tokenizer has no chat template; take the model's instruct or chat variant"
        raise InvalidInput(f"base_model {path}", [problem])
    return tokenizer


def stop_tokens(tokenizer: Any, path: Path) -> frozenset[int]:
    """Return the tokens at which generation stops: the tokenizer's and those of the generation config."""
    from transformers import GenerationConfig

    stops = {tokenizer.eos_token_id}
    if (path / "generation_config.json").is_file():
        configured = GenerationConfig.from_pretrained(str(path)).eos_token_id
        stops.update(configured if isinstance(configured, list) else [configured])
    return frozenset(stops - {None})


def control_tokens(tokenizer: Any, stops: frozenset[int]) -> "re.Pattern[str]":
    """Return a pattern of the tokens that no text may hold: they end a turn, or begin another one.

    These are the tokenizer's special tokens, those at which generation stops, and every other one that is
    no text to the tokenizer and that the chat template names.
    """
    template = str(tokenizer.chat_template)
    added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
    names = {
        *tokenizer.all_special_tokens,
        *tokenizer.convert_ids_to_tokens(sorted(stops)),
        *(token for token in added if token in template),
    }
    longest_first = sorted(filter(None, names), key=lambda name: (-len(name), name))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def tokenizer_digest(tokenizer: Any, stops: frozenset[int], control: "re.Pattern[str]") -> str:
    """Return a digest of all that the tokens of a row follow from, wherever it was loaded from.

    That is what the tokenizer and its chat template say, not their files: a packaged base model has them in
    another form before its weights are there. The libraries that read them count, too.
    """
    import tokenizers
    import transformers

    said = {
        "libraries": [transformers.__version__, tokenizers.__version__],
        "tokenizer": _content(tokenizer),
        "template": tokenizer.chat_template,
        # A template may write the date; what was made yesterday is another text then.
        "day": str(date.today()) if "strftime_now" in str(tokenizer.chat_template) else "",
        "names": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "stops": sorted(stops),
        "control": control.pattern,
        "split": tokenizer.split_special_tokens,
    }
    return f"sha256:{hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()}"


def _content(tokenizer: Any) -> Any:
    if backend := getattr(tokenizer, "backend_tokenizer", None):
        # These two are set anew with every call, so they make no token another one.
        backend.no_truncation()
        backend.no_padding()
        return hashlib.sha256(backend.to_str().encode()).hexdigest()
    with TemporaryDirectory() as folder:  # a tokenizer in Python says it in its files alone
        tokenizer.save_vocabulary(folder)
        files = sorted(Path(folder).iterdir())
        added = {number: str(token) for number, token in tokenizer.added_tokens_decoder.items()}
        return [
            type(tokenizer).__name__,
            added,
            *(hashlib.sha256(file.read_bytes()).hexdigest() for file in files),
        ]
