"""The train and eval sets as the stages exchange them: JSON lines of `messages`."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Message(BaseModel):
    """One turn of a conversation."""

    model_config = ConfigDict(frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str


class Conversation(BaseModel):
    """One row: the turns, of which the last is the assistant's answer, the completion."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...] = Field(min_length=2)

    @property
    def prompt(self) -> list[dict[str, str]]:
        """Every turn before the answer, as chat templates and the OpenAI API take them."""
        return [message.model_dump() for message in self.messages[:-1]]

    @property
    def completion(self) -> str:
        """The answer."""
        return self.messages[-1].content


def write_conversations(path: Path, rows: Iterable[Conversation]) -> int:
    """Write rows as JSON lines and return their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row.model_dump(), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_conversations(path: Path) -> list[Conversation]:
    """Read what `write_conversations` wrote."""
    return list(_lines(path))


def _lines(path: Path) -> Iterator[Conversation]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield Conversation.model_validate_json(line)
