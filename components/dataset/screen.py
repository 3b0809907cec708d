"""Accept or quarantine every row, and part what is accepted into a train and an eval set."""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from components.conversations import Conversation
from components.dataset.load import SourceRow
from components.dataset.rows import NO_COLUMNS, Columns, Kind, NotUsed, Preferences, RowFlaw, to_conversation

Lengths = Callable[[Sequence[Conversation]], list[int | RowFlaw]]
EXCERPT_CHARACTERS = 240


@dataclass(frozen=True)
class Row:
    """A usable row, where and as it stood, and its tokens under the chat template (0: not counted)."""

    file: str
    line: int
    text: str
    conversation: Conversation
    tokens: int = 0

    @property
    def prompt_key(self) -> str:
        """The prompt with case, width of characters and white space folded."""
        turns = self.conversation.prompt
        return "\x1e".join(f"{turn['role']}\x1f{folded(turn['content'])}" for turn in turns)

    @property
    def content(self) -> str:
        """What a fingerprint or a search for duplicates sees of it."""
        return self.conversation.model_dump_json(exclude_defaults=True)


@dataclass(frozen=True)
class Quarantined:
    """A row that was set aside: where it stood, and why."""

    file: str
    line: int
    kind: Kind
    reason: str
    excerpt: str


@dataclass
class Screened:
    """What became of every row: `rows_in` is always train plus eval plus quarantined.

    Attributes:
        rows_by_file: Rows read, by file.
        train: Accepted for training.
        eval: Held out.
        quarantined: Set aside, in the order of the files.
        contradictions: Accepted rows in groups of one prompt and different answers.
        tokens: Tokens of every row that is sound but for its length, accepted or not.
        not_used: Rows with a field that has no meaning for training, by field.
    """

    rows_by_file: dict[str, int]
    train: list[Row]
    eval: list[Row]
    quarantined: list[Quarantined]
    contradictions: list[list[Row]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    not_used: dict[str, int] = field(default_factory=dict)

    @property
    def rows_in(self) -> int:
        """Rows read."""
        return sum(self.rows_by_file.values())


def file_name(file: str) -> str:
    """Return the last part of a path or URL."""
    return file.rpartition("/")[2]


def folded(text: str) -> str:
    """Fold what does not make a text another one: case, width of characters, white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


class Screen:
    """Sorts rows into accepted and quarantined.

    Args:
        max_length: Longest row, tokens.
        lengths: Counts a conversation's tokens; None where there is no tokenizer to count with.
        columns: Which field of a row is what.
        preferences: Whether the chosen answers of preference rows are used.
    """

    def __init__(
        self,
        max_length: int,
        lengths: Lengths | None,
        columns: Columns = NO_COLUMNS,
        preferences: Preferences = "refuse",
    ) -> None:
        self._max_length, self._lengths = max_length, lengths
        self._columns, self._preferences, self._not_used = columns, preferences, NotUsed()
        self._rows_by_file: Counter[str] = Counter()
        self._tokens: list[int] = []
        self._quarantined: list[Quarantined] = []

    def with_eval_file(
        self, train: tuple[str, list[SourceRow]], held_out: tuple[str, list[SourceRow]]
    ) -> Screened:
        """Screen two files, each a name and its rows; train rows that ask what is held out are set aside."""
        eval_rows = self._distinct(self._sound(*held_out))
        asked = {row.prompt_key: row for row in eval_rows}
        kept = []
        for row in self._sound(*train):
            if row.prompt_key in asked:
                twin = asked[row.prompt_key]
                why = f"asks what line {twin.line} of {file_name(twin.file)} holds out"
                self._set_aside(row.file, row.line, row.text, RowFlaw("leaks_eval", why))
            else:
                kept.append(row)
        return self._result(self._distinct(kept), eval_rows)

    def with_split(self, train: tuple[str, list[SourceRow]], eval_fraction: float, seed: int) -> Screened:
        """Screen one file and hold out a share of it."""
        return self._result(*split(self._distinct(self._sound(*train)), eval_fraction, seed))

    def _sound(self, file: str, source_rows: list[SourceRow]) -> list[Row]:
        """Return the rows that can be used by themselves, whatever the others are."""
        self._rows_by_file[file] += len(source_rows)
        read: list[tuple[SourceRow, Conversation]] = []
        for source in source_rows:
            try:
                if source.flaw:
                    raise source.flaw
                conversation = to_conversation(source.value, self._columns, self._preferences, self._not_used)
                read.append((source, conversation))
            except RowFlaw as flaw:
                self._set_aside(file, source.line, source.text, flaw)
        conversations = [conversation for _, conversation in read]
        lengths = self._lengths(conversations) if self._lengths else [0] * len(read)
        sound = []
        for (source, conversation), tokens in zip(read, lengths, strict=True):
            if isinstance(tokens, RowFlaw):
                self._set_aside(file, source.line, source.text, tokens)
                continue
            if self._lengths:
                self._tokens.append(tokens)
            if tokens > self._max_length:
                why = f"is {tokens} tokens long under the chat template; max_length is {self._max_length}"
                self._set_aside(file, source.line, source.text, RowFlaw("too_long", why))
            else:
                sound.append(Row(file, source.line, source.text, conversation, tokens))
        return sound

    def _distinct(self, rows: Iterable[Row]) -> list[Row]:
        """Keep the first of equal rows."""
        first: dict[str, Row] = {}
        for row in rows:
            twin = first.setdefault(row.content, row)
            if twin is not row:
                flaw = RowFlaw("duplicate", f"is the same as line {twin.line}")
                self._set_aside(row.file, row.line, row.text, flaw)
        return list(first.values())

    def _set_aside(self, file: str, line: int, text: str, flaw: RowFlaw) -> None:
        excerpt = text.encode("utf-8", "backslashreplace").decode()[:EXCERPT_CHARACTERS]
        self._quarantined.append(Quarantined(file, line, flaw.kind, flaw.why, excerpt))

    def _result(self, train: list[Row], held_out: list[Row]) -> Screened:
        self._quarantined.sort(key=lambda row: (row.file, row.line))
        return Screened(
            rows_by_file=dict(self._rows_by_file),
            train=train,
            eval=held_out,
            quarantined=self._quarantined,
            contradictions=contradictions([*train, *held_out]),
            tokens=self._tokens,
            not_used=self._not_used.rows,
        )


def split(rows: list[Row], eval_fraction: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Part rows into train and eval by prompt: no prompt is in both.

    Prompts are held out in the order of a seeded hash, so that a row added later does not move the others.
    """
    groups: dict[str, int] = Counter(row.prompt_key for row in rows)
    order = sorted(groups, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    wanted, held_out, count = round(len(rows) * eval_fraction), set(), 0
    for key in order:
        if count >= wanted:
            break
        held_out.add(key)
        count += groups[key]
    train = [row for row in rows if row.prompt_key not in held_out]
    return train, [row for row in rows if row.prompt_key in held_out]


def contradictions(rows: Iterable[Row]) -> list[list[Row]]:
    """Group rows of one prompt whose answers differ by more than case and white space."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.prompt_key, []).append(row)
    return [
        group for group in groups.values() if len({folded(row.conversation.completion) for row in group}) > 1
    ]


def fingerprint(screened: Screened) -> str:
    """Return `sha256:...` over the content and order of the accepted rows of both sets."""
    digest = hashlib.sha256()
    for name, rows in (("train", screened.train), ("eval", screened.eval)):
        digest.update(f"{name} {len(rows)}\n".encode())
        for row in rows:
            digest.update(row.content.encode() + b"\n")
    return f"sha256:{digest.hexdigest()}"
