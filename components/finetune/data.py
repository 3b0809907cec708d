"""Conversations as tokens: the prompt as the server will see it, and the completion that is learned."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.conversations import Conversation
from components.errors import InvalidInput

SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class Example:
    """One row.

    Attributes:
        tokens: Prompt and completion; the last token ends the assistant's turn.
        prompt_length: How many of them are the prompt, which is never learned.
    """

    tokens: tuple[int, ...]
    prompt_length: int

    @property
    def completion_length(self) -> int:
        """How many tokens are learned."""
        return len(self.tokens) - self.prompt_length


def encode(rows: Sequence[Conversation], base_path: Path, max_length: int) -> tuple[list[Example], int]:
    """Render rows with the base model's chat template and cut each into prompt and completion.

    Args:
        rows: The training rows.
        base_path: Directory of the base model.
        max_length: Longest row, tokens.

    Returns:
        The rows that are short enough, and the number of rows left out because they are not.

    Raises:
        InvalidInput: There is no row, none is short enough, or the chat template can't be trained on.
    """
    tokenizer = _load_tokenizer(base_path)
    if not rows:
        raise InvalidInput("training set", ["holds no row; at least one is needed"])
    prompts, whole = _render(rows, tokenizer)
    ends = _end_of_turn_tokens(tokenizer, base_path)
    examples = []
    shortest = None
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    whole_ids = tokenizer(whole, add_special_tokens=False)["input_ids"]
    for row, (prompt, full) in enumerate(zip(prompt_ids, whole_ids, strict=True)):
        if full[: len(prompt)] != prompt:
            # The answer's first characters melt into the prompt's last token. The server tokenises the
            # prompt alone, so the model must learn to go on from there.
            rest = whole[row][len(prompts[row]) :]
            full = prompt + tokenizer(rest, add_special_tokens=False)["input_ids"]
        last = next((i for i in range(len(full) - 1, len(prompt) - 1, -1) if full[i] in ends), None)
        if last is None:
            names = ", ".join(tokenizer.convert_ids_to_tokens(sorted(ends)))
            problem = f"ends an answer with no end-of-turn token ({names}), so the model would never stop"
            raise InvalidInput("chat template of the base model", [f"{problem}; take its chat variant"])
        # What the template writes after the end of the turn is never generated, so it isn't learned.
        example = Example(tuple(full[: last + 1]), len(prompt))
        shortest = min(shortest or len(example.tokens), len(example.tokens))
        if len(example.tokens) <= max_length:
            examples.append(example)
    if not examples:
        problem = f"max_length: got {max_length}, but the shortest row has {shortest} tokens; raise it"
        raise InvalidInput("training set", [problem])
    return examples, len(rows) - len(examples)


def _load_tokenizer(base_path: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(base_path), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"base_model {base_path}", [f"its tokenizer can't be loaded: {error}"]) from error
    if not tokenizer.chat_template:
        problem = "its tokenizer has no chat template; take the model's instruct or chat variant"
        raise InvalidInput(f"base_model {base_path}", [problem])
    return tokenizer


def _render(rows: Sequence[Conversation], tokenizer: Any) -> tuple[list[str], list[str]]:
    """Return each row's prompt, as the server renders it, and its whole conversation."""
    from jinja2 import TemplateError

    prompts, whole = [], []
    for number, row in enumerate(rows, start=1):
        turns = [message.as_chat() for message in row.messages]
        try:
            prompt = tokenizer.apply_chat_template(turns[:-1], tokenize=False, add_generation_prompt=True)
            full = tokenizer.apply_chat_template(turns, tokenize=False)
        except TemplateError as error:  # transformers renders in a sandbox: what leaves it is one of these
            problem = f"training row {number}: can't be rendered: {error}"
            raise InvalidInput("chat template of the base model", [problem]) from error
        if not full.startswith(prompt):
            problem = (
                f"training row {number}: the prompt that the server would send is not the beginning of the "
                f"conversation, so the model would be trained on another text than it is served; "
                f"prompt ends {prompt[-SHOWN_CHARACTERS:]!r}, "
                f"conversation ends {full[-SHOWN_CHARACTERS:]!r}"
            )
            raise InvalidInput("chat template of the base model", [problem])
        prompts.append(prompt)
        whole.append(full)
    return prompts, whole


def _end_of_turn_tokens(tokenizer: Any, base_path: Path) -> set[int]:
    """Return the tokens at which generation stops: the tokenizer's and those of the generation config."""
    from transformers import GenerationConfig

    stops = {tokenizer.eos_token_id}
    if (base_path / "generation_config.json").is_file():
        configured = GenerationConfig.from_pretrained(str(base_path)).eos_token_id
        stops.update(configured if isinstance(configured, list) else [configured])
    return stops - {None}
