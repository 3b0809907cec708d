"""How long a row is to the model: tokens under the chat template that it is trained and served with."""

from collections.abc import Sequence
from pathlib import Path

from components.conversations import Conversation
from components.dataset.rows import RowFlaw
from components.errors import InvalidInput
from components.models import prepare_tokenizer

BATCH_ROWS = 1000


class ChatTokenizer:
    """The base model's tokenizer with its chat template.

    Args:
        path: Directory of the base model.

    Raises:
        InvalidInput: The tokenizer can't be loaded or has no chat template.
    """

    def __init__(self, path: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(str(path), trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise InvalidInput(f"base_model {path}", [f"its tokenizer can't be loaded: {error}"]) from error
        if not self._tokenizer.chat_template:
            problem = "its tokenizer has no chat template; take the model's instruct or chat variant"
            raise InvalidInput(f"base_model {path}", [problem])
        self._control_tokens = [token for token in self._tokenizer.all_special_tokens if token]

    def lengths(self, rows: Sequence[Conversation]) -> list[int | RowFlaw]:
        """Count the tokens of whole conversations, answers included; a flaw where the template refuses."""
        found: list[int | RowFlaw] = []
        for start in range(0, len(rows), BATCH_ROWS):
            rendered = [self._render(row) for row in rows[start : start + BATCH_ROWS]]
            texts = [text for text in rendered if isinstance(text, str)]
            encoded = self._tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
            counts = iter([len(ids) for ids in encoded])
            found.extend(text if isinstance(text, RowFlaw) else next(counts) for text in rendered)
        return found

    def _render(self, row: Conversation) -> str | RowFlaw:
        from jinja2 import TemplateError

        for token in self._control_tokens:
            # Inside a turn such a token would end it, or begin another one in somebody else's name.
            if any(token in message.content for message in row.messages):
                return RowFlaw("control_token", f"has the chat template's own token {token} in its text")
        messages = [message.as_chat() for message in row.messages]
        try:
            return str(self._tokenizer.apply_chat_template(messages, tokenize=False))
        except (TemplateError, ValueError) as error:
            return RowFlaw("template_refused", f"the base model's chat template refuses it: {error}")


def chat_tokenizer(base_model: str) -> ChatTokenizer:
    """Return the tokenizer of a base model, made ready on this machine first, without the weights.

    Raises:
        InvalidInput: There is no such model, or it has no chat template.
    """
    return ChatTokenizer(prepare_tokenizer(base_model))
