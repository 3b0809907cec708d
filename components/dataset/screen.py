"""Accept or quarantine every row, and part what is accepted into a train and an eval set."""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from components.conversations import Conversation
from components.dataset.checks.findings import Findings, kind_of
from components.dataset.checks.near import NearDuplicates, asked_and_answered, near_duplicates
from components.dataset.checks.sift import Found, Sieve, Sifted, found_in_raw
from components.dataset.checks.signatures import Signatures
from components.dataset.load import SourceRow
from components.dataset.rows import Kind, RowFlaw, to_conversation
from components.dataset.split import held_out_of

Lengths = Callable[[Sequence[Conversation]], list[int | RowFlaw]]
EXCERPT_CHARACTERS = 240
# Reasons of these kinds have nothing in them that a row says.
SILENT: tuple[Kind, ...] = ("duplicate", "leaks_eval", "too_long", "empty_prompt", "empty_answer")


@dataclass(frozen=True)
class Row:
    """A usable row.

    Attributes:
        file: Where it stood.
        line: Where in it.
        text: As it stood.
        conversation: What is trained on or evaluated with.
        tokens: Its tokens under the chat template; 0: not counted.
        group: What `group_by` names, as text; empty where the row has none.
        shown: What people may see of it, where that is something else.
        found: What was found in it that people may not see: kinds alone.
    """

    file: str
    line: int
    text: str
    conversation: Conversation
    tokens: int = 0
    group: str = ""
    shown: Conversation | None = None
    found: Found = ()

    @property
    def view(self) -> Conversation:
        """The conversation as a report or a log may have it."""
        return self.shown or self.conversation

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
        findings: Secrets and personal data in accepted rows.
        near_pairs: Accepted rows that are nearly the same, two each; some of them.
        near_duplicates: Training rows that ask and answer nearly what an earlier one does.
        near_leaks: Training rows that ask nearly what is held out.
    """

    rows_by_file: dict[str, int]
    train: list[Row]
    eval: list[Row]
    quarantined: list[Quarantined]
    contradictions: list[list[Row]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    near_pairs: list[tuple[Row, Row]] = field(default_factory=list)
    near_duplicates: int = 0
    near_leaks: int = 0

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
        sieve: Finds secrets and personal data; None: they are not looked for.
        signatures: Where near duplicates are told by; None: they are not looked for.
        group_by: The field of a row whose value says which rows are kept on one side of the split.
    """

    def __init__(
        self,
        max_length: int,
        lengths: Lengths | None,
        sieve: Sieve | None = None,
        signatures: Signatures | None = None,
        group_by: str = "",
    ) -> None:
        self._max_length, self._lengths = max_length, lengths
        self._sieve, self._signatures, self._group_by = sieve, signatures, group_by
        self._rows_by_file: Counter[str] = Counter()
        self._tokens: list[int] = []
        self._quarantined: list[Quarantined] = []

    def with_eval_file(
        self, train: tuple[str, list[SourceRow]], held_out: tuple[str, list[SourceRow]]
    ) -> Screened:
        """Screen two files, each a name and its rows; train rows that ask what is held out are set aside."""
        eval_rows = self._distinct(self._sound(*held_out))
        asked = {row.prompt_key: row for row in eval_rows}
        groups = {row.group: row for row in eval_rows if row.group}
        kept = []
        for row in self._sound(*train):
            if twin := asked.get(row.prompt_key):
                why = f"asks what line {twin.line} of {file_name(twin.file)} holds out"
            elif twin := groups.get(row.group):
                why = f"has the {self._group_by} of line {twin.line} of {file_name(twin.file)}, held out"
            else:
                kept.append(row)
                continue
            self._set_aside(row.file, row.line, row.text, RowFlaw("leaks_eval", why))
        train_rows = self._distinct(kept)
        rows = [*train_rows, *eval_rows]
        screened = self._result(train_rows, eval_rows)
        return _with_near(screened, rows, self._near(rows))

    def with_split(self, train: tuple[str, list[SourceRow]], eval_fraction: float, seed: int) -> Screened:
        """Screen one file and hold out a share of it."""
        rows = self._distinct(self._sound(*train))
        near = self._near(rows)
        labels = near.by_prompt.tolist() if near else range(len(rows))
        screened = self._result(*split(rows, eval_fraction, seed, labels))
        return _with_near(screened, rows, near)

    def _sound(self, file: str, source_rows: list[SourceRow]) -> list[Row]:
        """Return the rows that can be used by themselves, whatever the others are."""
        self._rows_by_file[file] += len(source_rows)
        read: list[tuple[SourceRow, Conversation]] = []
        for source in source_rows:
            try:
                if source.flaw:
                    raise source.flaw
                read.append((source, to_conversation(source.value)))
            except RowFlaw as flaw:
                self._set_aside(file, source.line, source.text, flaw)
        conversations = [conversation for _, conversation in read]
        if self._sieve:
            sifted = self._sieve.conversations(conversations)
            conversations = [row.conversation for row in sifted]
        else:
            sifted = [Sifted(conversation, conversation) for conversation in conversations]
        lengths = self._lengths(conversations) if self._lengths else [0] * len(read)
        sound = []
        for (source, _), row, tokens in zip(read, sifted, lengths, strict=True):
            if isinstance(tokens, RowFlaw):
                self._set_aside(file, source.line, source.text, tokens)
                continue
            if self._lengths:
                self._tokens.append(tokens)
            if tokens > self._max_length:
                why = f"is {tokens} tokens long under the chat template; max_length is {self._max_length}"
                self._set_aside(file, source.line, source.text, RowFlaw("too_long", why))
            else:
                group = group_of(source.value, self._group_by)
                shown = row.shown if row.found else None
                sound.append(
                    Row(file, source.line, source.text, row.conversation, tokens, group, shown, row.found)
                )
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

    def _near(self, rows: list[Row]) -> NearDuplicates | None:
        if self._signatures is None:
            return None
        self._signatures.add([asked_and_answered(row.conversation) for row in rows])
        return near_duplicates(self._signatures)

    def _set_aside(self, file: str, line: int, text: str, flaw: RowFlaw) -> None:
        self._quarantined.append(Quarantined(file, line, flaw.kind, flaw.why, text))

    def _excerpts(self) -> list[Quarantined]:
        """Cut the texts of what was set aside, and leave out those in which something was found."""
        rows = sorted(self._quarantined, key=lambda row: (row.file, row.line))
        texts = [row.excerpt for row in rows]
        found = found_in_raw(texts) if self._sieve else [() for _ in rows]
        return [excerpt_of(row, names) for row, names in zip(rows, found, strict=True)]

    def _result(self, train: list[Row], held_out: list[Row]) -> Screened:
        screened = Screened(
            rows_by_file=dict(self._rows_by_file),
            train=train,
            eval=held_out,
            quarantined=self._excerpts(),
            contradictions=contradictions([*train, *held_out]),
            tokens=self._tokens,
        )
        for row in (*train, *held_out):
            screened.findings.note(row.file, row.line, row.found)
        return screened


def _with_near(screened: Screened, rows: list[Row], near: NearDuplicates | None) -> Screened:
    """Count near duplicates, and keep pairs of them; `rows` are numbered as they were compared."""
    if near is None:
        return screened
    held_out = {(row.file, row.line) for row in screened.eval}
    is_held_out = [(row.file, row.line) in held_out for row in rows]
    asked = {label for label, aside in zip(near.by_prompt.tolist(), is_held_out, strict=True) if aside}
    trained: set[int] = set()
    for prompt, row, aside in zip(near.by_prompt.tolist(), near.by_row.tolist(), is_held_out, strict=True):
        if not aside:
            screened.near_leaks += prompt in asked
            screened.near_duplicates += row in trained
            trained.add(row)
    screened.near_pairs = [
        (rows[first], rows[second])
        for first, second in near.pairs
        if is_held_out[first] != is_held_out[second]
        or (not is_held_out[first] and near.by_row[first] == near.by_row[second])
    ]
    return screened


def group_of(value: object, group_by: str) -> str:
    """Return what a row has in the field that groups go by, as text; nothing where it has none."""
    found = value.get(group_by) if group_by and isinstance(value, dict) else None
    return "" if found is None else json.dumps(found, sort_keys=True, default=str)


def excerpt_of(row: Quarantined, found: Found) -> Quarantined:
    """Return the row with so much of its text as is shown; none of it where something was found."""
    if not found:
        text = row.excerpt.encode("utf-8", "backslashreplace").decode()[:EXCERPT_CHARACTERS]
        return replace(row, excerpt=text)
    kinds = ", ".join(sorted({kind_of(name) for name in found}))
    reason = row.reason if row.kind in SILENT else f"{row.kind.replace('_', ' ')}; the rest is withheld"
    return replace(row, reason=reason, excerpt=f"[withheld: it holds {kinds}]")


def split(
    rows: list[Row], eval_fraction: float, seed: int, labels: Sequence[int] | None = None
) -> tuple[list[Row], list[Row]]:
    """Part rows into train and eval by prompt: no prompt, and no group, is in both.

    Args:
        rows: The rows.
        eval_fraction: The share that is held out.
        seed: What the order in which they are depends on.
        labels: Rows with one label stay together, too.
    """
    groups = [row.group for row in rows]
    is_held_out = held_out_of([row.prompt_key for row in rows], eval_fraction, seed, labels, groups)
    sides: tuple[list[Row], list[Row]] = ([], [])
    for row, side in zip(rows, is_held_out, strict=True):
        sides[side].append(row)
    return sides


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
