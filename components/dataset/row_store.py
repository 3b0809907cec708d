"""Accepted rows: their content on disk, and of each a few bytes in memory to tell it from others by."""

import hashlib
import json
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from components.conversations import Conversation, Message
from components.dataset.arrays import Numbers, numbers
from components.dataset.checks.spans import Found
from components.dataset.spool import Spool


@dataclass(frozen=True)
class Row:
    """A usable row.

    Attributes:
        file: Where it stood.
        line: Where in it.
        text: The beginning of it as it stood.
        conversation: What is trained on or evaluated with.
        tokens: Its tokens under the chat template; 0: not counted.
        shown: What people may see of it, where that is something else.
        found: What was found in it that people may not see: kinds alone.
        number: Its place among all rows of which the tokens were counted.
    """

    file: str
    line: int
    text: str
    conversation: Conversation
    tokens: int = 0
    shown: Conversation | None = None
    found: Found = ()
    number: int = 0

    @property
    def view(self) -> Conversation:
        """The conversation as a report or a log may have it."""
        return self.shown or self.conversation

    @property
    def prompt_key(self) -> str:
        """The prompt with case, width of characters and white space folded."""
        return _prompt_key(self.conversation)

    @property
    def shown_prompt_key(self) -> str:
        """The same of the prompt as people may see it."""
        return _prompt_key(self.view)

    @property
    def answer_key(self) -> str:
        """The answer with case, width of characters and white space folded."""
        return folded(self.conversation.completion) + _calls(self.conversation.messages[-1:])

    @property
    def content(self) -> str:
        """What a fingerprint or a search for duplicates sees of it."""
        return self.conversation.as_json()


def _prompt_key(conversation: Conversation) -> str:
    prompt = conversation.messages[:-1]
    turns = "\x1e".join(f"{turn.role}\x1f{folded(turn.content)}" for turn in prompt)
    return f"{turns}{_calls(prompt)}{_tools(conversation)}"


def _calls(turns: Sequence[Message]) -> str:
    calls = [(call.name, call.arguments) for turn in turns for call in turn.tool_calls]
    return f"\x1d{json.dumps(calls, sort_keys=True)}" if calls else ""


def _tools(conversation: Conversation) -> str:
    return f"\x1d{json.dumps(conversation.tools, sort_keys=True)}" if conversation.tools else ""


def folded(text: str) -> str:
    """Fold what does not make a text another one: case, width of characters, white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class RowStore:
    """Rows in the order in which they were added, and keys that are the same for what is the same.

    Args:
        seed: Of the order of the prompts' keys, which is random and does not follow that of the rows.
    """

    def __init__(self, seed: int) -> None:
        self._seed = f"{seed} ".encode()
        self._files: dict[str, int] = {}
        self._names: list[str] = []  # of the files, by their numbers
        self._contents, self._texts = Spool(), Spool()
        # Of ten million rows, two have one key of eight bytes by chance in one of 300,000 datasets.
        self._file, self._line, self._tokens = array("I"), array("Q"), array("I")
        self._prompt, self._content, self._answer = array("Q"), array("Q"), array("I")
        self._asked = array("Q")
        self._group, self._held_out = array("Q"), array("B")
        self._number = array("I")
        # Of rows in which something was found: what, by number, and where what people may see of them is.
        self._found, self._shown = array("I"), array("I")
        self._kinds: dict[Found, int] = {(): 0}
        self._views = Spool()

    def __len__(self) -> int:
        return len(self._line)

    def add(self, row: Row, group: str = "", is_held_out: bool = False) -> None:
        """Add a row.

        Args:
            row: The row.
            group: What it belongs to, with others; empty: to nothing.
            is_held_out: Whether its own file holds it out.

        Raises:
            TunegateError: The disk is full.
        """
        self._found.append(self._kinds.setdefault(row.found, len(self._kinds)))
        self._shown.append(len(self._views) + 1 if row.shown else 0)
        if row.shown:
            self._views.append(row.shown.as_json().encode())
        content = row.content.encode()
        self._contents.append(content)
        self._texts.append(json.dumps(row.text).encode())
        if row.file not in self._files:
            self._files[row.file] = len(self._names)
            self._names.append(row.file)
        self._file.append(self._files[row.file])
        self._line.append(row.line)
        self._tokens.append(row.tokens)
        prompt = row.prompt_key.encode()
        self._prompt.append(_key(self._seed + prompt, 8))
        self._asked.append(_key(row.shown_prompt_key.encode() if row.shown else prompt, 8))
        self._number.append(row.number)
        self._content.append(_key(content, 8))
        self._answer.append(answer_number(row.answer_key))
        self._group.append(_key(group.encode(), 8) if group else 0)
        self._held_out.append(is_held_out)

    def row(self, index: int) -> Row:
        """Return a row as it was added."""
        return Row(
            *self.place(index),
            self.text(index),
            Conversation.model_validate_json(self._contents[index]),
            self._tokens[index],
            self.shown(index),
            self.found(index),
            self._number[index],
        )

    def place(self, index: int) -> tuple[str, int]:
        """Return the file and the line of a row."""
        return self._names[self._file[index]], self._line[index]

    def text(self, index: int) -> str:
        """Return the beginning of a row as it stood in its file."""
        return str(json.loads(self._texts[index]))

    def shown(self, index: int) -> Conversation | None:
        """Return what people may see of a row, where that is something else than the row."""
        place = self._shown[index]
        return Conversation.model_validate_json(self._views[place - 1]) if place else None

    def found(self, index: int) -> Found:
        """Return what was found in a row that people may not see: kinds alone."""
        return [*self._kinds][self._found[index]]

    def content(self, index: int) -> bytes:
        """Return a row's content as JSON on one line."""
        return self._contents[index]

    @property
    def prompts(self) -> Numbers:
        """A key of each row's prompt; in their order prompts are held out."""
        return numbers(self._prompt, "u8")

    @property
    def asked(self) -> Numbers:
        """A key of each row's prompt that is the same in every dataset, whatever the seed."""
        return numbers(self._asked, "u8")

    @property
    def contents(self) -> Numbers:
        """A key of each row's content."""
        return numbers(self._content, "u8")

    @property
    def answers(self) -> Numbers:
        """A key of each row's answer, with case and white space folded."""
        return numbers(self._answer, "u4")

    @property
    def groups(self) -> Numbers:
        """A key of what each row belongs to; 0: to nothing."""
        return numbers(self._group, "u8")

    @property
    def held_out(self) -> Numbers:
        """For each row, whether its own file holds it out."""
        return numbers(self._held_out, "?")

    @property
    def is_found(self) -> Numbers:
        """For each row, whether anything was found that people may not see."""
        found: Numbers = numbers(self._found, "u4") != 0
        return found

    @property
    def tokens(self) -> Numbers:
        """The tokens of each row."""
        return numbers(self._tokens, "u4")

    @property
    def numbers(self) -> Numbers:
        """The place of each row among all of which the tokens were counted."""
        return numbers(self._number, "u4")


class Rows(Sequence[Row]):
    """Some rows of a store, read when they are asked for.

    Args:
        store: Where they are.
        indices: Which of them.
    """

    def __init__(self, store: RowStore, indices: Numbers) -> None:
        self.store, self.indices = store, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Rows(self.store, self.indices[index])
        return self.store.row(int(self.indices[index]))

    def where(self, chosen: Numbers) -> "Rows":
        """Return those for which this is true, or whose numbers among these it holds."""
        return Rows(self.store, self.indices[chosen])

    def together_with(self, others: "Rows") -> "Rows":
        """Return these and others of the same store."""
        import numpy

        return Rows(self.store, numpy.concatenate([self.indices, others.indices]))

    def some(self, most: int) -> "Rows":
        """Return so many of them at random, the same in each run, in their order; all if they are fewer."""
        import numpy

        if len(self) <= most:
            return self
        return self.where(numpy.sort(numpy.random.default_rng(17).choice(len(self), most, replace=False)))

    def answers(self) -> Iterator[str]:
        """Yield the text of each answer, as people may see it."""
        for index, content in zip(self.indices.tolist(), self.contents(), strict=True):
            shown = self.store.shown(index)
            yield shown.completion if shown else json.loads(content)["messages"][-1]["content"]

    def contents(self) -> Iterator[bytes]:
        """Yield each row's content as JSON on one line."""
        return (self.store.content(int(index)) for index in self.indices)

    @property
    def tokens(self) -> Numbers:
        """The tokens of each."""
        return self.store.tokens[self.indices]

    @property
    def numbers(self) -> Numbers:
        """The place of each among all rows of which the tokens were counted."""
        return self.store.numbers[self.indices]


def answer_number(answer_key: str) -> int:
    """Return the key that `RowStore.answers` has for an answer, given as `Row.answer_key` has it."""
    return _key(answer_key.encode(), 4)


def _key(content: bytes, size: int) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:size], "big")
