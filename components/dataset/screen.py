"""Accept or quarantine every row, and part what is accepted into a train and an eval set."""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.conversations import Conversation
from components.dataset.arrays import Numbers, numbers
from components.dataset.checks.findings import Findings
from components.dataset.checks.near import NearDuplicates, asked_and_answered, near_duplicates
from components.dataset.checks.sift import Sieve, Sifted, found_in_raw
from components.dataset.checks.signatures import Signatures
from components.dataset.contradictions import Contradictions, find_contradictions
from components.dataset.files.source_row import SourceRow
from components.dataset.nearly import Nearly, count_nearly
from components.dataset.quarantine import Quarantine, Quarantined
from components.dataset.row_store import Row, Rows, RowStore
from components.dataset.rows import NO_COLUMNS, Columns, NotUsed, Preferences, RowFlaw, to_conversation
from components.dataset.split import held_out_of
from components.errors import InvalidInput

Lengths = Callable[[Sequence[Conversation]], list[int | RowFlaw]]
FileRows = tuple[str, Iterable[SourceRow]]
# Large enough that starting the search for secrets costs little, small enough to hold two of them.
BATCH_ROWS, BATCH_CHARACTERS = 20_000, 8 << 20
FILES_KEPT, ROWS_KEPT, SHORT_CHARACTERS = 20, 100, 64 << 10  # of which first rows are kept


@dataclass(frozen=True)
class Screened:
    """What became of every row: `rows_in` is always train plus eval plus quarantined.

    Attributes:
        rows_by_file: Rows read, by file.
        set_of: Which set of files each file is of, by its name.
        train: Accepted for training.
        eval: Held out.
        quarantined: Set aside.
        contradictions: Accepted rows of one prompt and different answers.
        tokens: Tokens of every row that is sound but for its length, accepted or not.
        findings: Secrets and personal data in accepted rows.
        nearly: Accepted rows that are nearly the same.
        in_groups: How many accepted rows have a group that they are kept together with.
        not_used: Rows with a field that has no meaning for training, by field.
        first: Some of the first rows of each file as they were read.
    """

    rows_by_file: dict[str, int]
    set_of: dict[str, str]
    train: Rows
    eval: Rows
    quarantined: Quarantine
    contradictions: Contradictions
    tokens: Numbers
    findings: Findings
    nearly: Nearly
    in_groups: int
    not_used: dict[str, int]
    first: dict[str, list[object]]

    @property
    def rows_in(self) -> int:
        """Rows read."""
        return sum(self.rows_by_file.values())


def file_name(file: str) -> str:
    """Return the last part of a path or URL."""
    return file.rpartition("/")[2]


class Screen:
    """Sorts rows into accepted and quarantined; they are read once, and kept on disk.

    Args:
        max_length: Longest row, tokens.
        lengths: Counts the tokens of conversations; None where there is no tokenizer to count with.
        seed: Of the split.
        sieve: Finds secrets and personal data; None: they are not looked for.
        signatures: What near duplicates are told by; None: they are not looked for.
        group_by: The field of a row whose value says which rows are kept on one side of the split.
        columns: Which field of a row is what.
        preferences: Whether the chosen answers of preference rows are used.
    """

    def __init__(
        self,
        max_length: int,
        lengths: Lengths | None,
        seed: int,
        sieve: Sieve | None = None,
        signatures: Signatures | None = None,
        group_by: str = "",
        columns: Columns = NO_COLUMNS,
        preferences: Preferences = "refuse",
    ) -> None:
        self._max_length, self._lengths = max_length, lengths
        self._sieve, self._signatures, self._group_by = sieve, signatures, group_by
        self._columns, self._preferences, self._not_used = columns, preferences, NotUsed()
        self._rows_by_file: Counter[str] = Counter()
        self._first: dict[str, list[object]] = {}
        self._set_of: dict[str, str] = {}
        self._tokens = array("I")
        self._quarantine = Quarantine(found_in_raw if sieve else None)
        self._store = RowStore(seed)

    def with_eval_file(self, train: FileRows, held_out: FileRows) -> Screened:
        """Screen two files, each a name and its rows; train rows that ask what is held out are set aside.

        Raises:
            InvalidInput: One of them says itself what is held out of it.
        """
        eval_rows, train_rows = self._sound(*held_out), self._sound(*train)
        problems = [
            f"{file} holds rows to train on and rows to hold out, each by name; leave eval_dataset empty, or "
            "name files of one kind of rows"
            for (file, _), rows in ((train, train_rows), (held_out, eval_rows))
            if 0 < self._store.held_out[rows].sum() < len(rows)
        ]
        if problems:
            raise InvalidInput("dataset and eval_dataset", problems)
        return self._parted(train_rows, eval_rows)

    def with_split(self, train: FileRows, eval_fraction: float) -> Screened:
        """Screen one file and hold out a share of it, or what it says itself is to be held out."""
        rows = self._sound(*train)
        own = self._store.held_out[rows]
        if own.any():
            return self._parted(rows[~own], rows[own])
        rows = self._distinct(rows)
        near = self._near(rows)
        groups = self._store.groups[rows] if self._group_by else None
        labels = near.by_prompt if near else None
        held_out = held_out_of(self._store.prompts[rows], eval_fraction, labels, groups)
        return self._result(rows, held_out, near)

    def _parted(self, train: Numbers, held_out: Numbers) -> Screened:
        import numpy

        eval_rows = self._distinct(held_out)
        train_rows = self._distinct(self._unleaked(train, eval_rows))
        rows = numpy.concatenate([train_rows, eval_rows])
        return self._result(rows, numpy.arange(len(rows)) >= len(train_rows), self._near(rows))

    def _sound(self, file: str, source_rows: Iterable[SourceRow]) -> Numbers:
        """Keep the rows that can be used by themselves, whatever the others are; return which those are."""
        import numpy

        first = len(self._store)
        # The tokenizer is no Python: while it works on one batch, the next one is read.
        with ThreadPoolExecutor(1) as working:
            before = None
            for batch in _batches(source_rows):
                read = list(self._read(file, batch))
                work = working.submit(self._sift_and_count, [conversation for _, conversation in read])
                if before:
                    self._keep(file, before[0], *before[1].result())
                before = [source for source, _ in read], work
            if before:
                self._keep(file, before[0], *before[1].result())
        return numpy.arange(first, len(self._store))

    def _read(self, file: str, batch: Sequence[SourceRow]) -> Iterator[tuple[SourceRow, Conversation]]:
        for source in batch:
            name = source.file or file
            self._rows_by_file[name] += 1
            self._set_of.setdefault(name, file)
            if self._rows_by_file[name] <= ROWS_KEPT and source.size <= SHORT_CHARACTERS:
                self._keep_first(name, source.value)
            try:
                if source.flaw:
                    raise source.flaw
                yield source, to_conversation(source.value, self._columns, self._preferences, self._not_used)
            except RowFlaw as flaw:
                self._set_aside(name, source.line, source.text, flaw)

    def _keep_first(self, file: str, value: object) -> None:
        if file in self._first or len(self._first) < FILES_KEPT:
            self._first.setdefault(file, []).append(value)

    def _sift_and_count(self, rows: Sequence[Conversation]) -> tuple[list[Sifted], list[int | RowFlaw]]:
        """Look for what nobody may see, and count the tokens of what is left."""
        sifted = self._sieve.conversations(rows) if self._sieve else [Sifted(row, row) for row in rows]
        rows = [row.conversation for row in sifted]
        return sifted, self._lengths(rows) if self._lengths else [0] * len(rows)

    def _keep(
        self,
        file: str,
        sources: Sequence[SourceRow],
        sifted: Sequence[Sifted],
        lengths: Sequence[int | RowFlaw],
    ) -> None:
        kept: list[Conversation] = []
        for source, row, tokens in zip(sources, sifted, lengths, strict=True):
            name = source.file or file
            if isinstance(tokens, RowFlaw):
                self._set_aside(name, source.line, source.text, tokens)
                continue
            if self._lengths:
                self._tokens.append(tokens)
            if tokens > self._max_length:
                why = f"is {tokens} tokens long under the chat template; max_length is {self._max_length}"
                self._set_aside(name, source.line, source.text, RowFlaw("too_long", why))
                continue
            shown = row.shown if row.found else None
            self._store.add(
                Row(name, source.line, source.text, row.conversation, tokens, shown, row.found),
                group_of(source.value, self._group_by),
                is_held_out=source.side == "eval",
            )
            kept.append(row.conversation)
        if self._signatures is not None:
            self._signatures.add([asked_and_answered(row) for row in kept])

    def _unleaked(self, train: Numbers, held_out: Numbers) -> Numbers:
        """Leave out the rows that ask what is held out, or belong to what is."""
        prompts, groups = self._store.prompts, self._store.groups
        left = self._apart(train, held_out, prompts, "asks what {} holds out")
        grouped = held_out[groups[held_out] != 0]
        return self._apart(left, grouped, groups, f"has the {self._group_by} of {{}}, held out")

    def _apart(self, train: Numbers, held_out: Numbers, keys: Numbers, why: str) -> Numbers:
        """Set aside the rows that share a key with one that is held out; return the others."""
        import numpy

        known, first = numpy.unique(keys[held_out], return_index=True)
        leaks = numpy.isin(keys[train], known)
        twins = held_out[first[numpy.searchsorted(known, keys[train][leaks])]]
        for index, twin in zip(train[leaks], twins, strict=True):
            file, line = self._store.place(twin)
            flaw = RowFlaw("leaks_eval", why.format(f"line {line} of {file_name(file)}"))
            self._set_row_aside(index, flaw)
        kept: Numbers = train[~leaks]
        return kept

    def _near(self, rows: Numbers) -> NearDuplicates | None:
        return near_duplicates(self._signatures, rows) if self._signatures is not None else None

    def _distinct(self, rows: Numbers) -> Numbers:
        """Keep the first of equal rows."""
        import numpy

        _, first, same = numpy.unique(self._store.contents[rows], return_index=True, return_inverse=True)
        twins = first[same]
        again = twins != numpy.arange(len(rows))
        for index, twin in zip(rows[again], rows[twins[again]], strict=True):
            file, line = self._store.place(twin)
            where = f" of {file_name(file)}" if file != self._store.place(index)[0] else ""
            self._set_row_aside(index, RowFlaw("duplicate", f"is the same as line {line}{where}"))
        kept: Numbers = rows[~again]
        return kept

    def _set_row_aside(self, index: int, flaw: RowFlaw) -> None:
        self._set_aside(*self._store.place(index), self._store.text(index), flaw)

    def _set_aside(self, file: str, line: int, text: str, flaw: RowFlaw) -> None:
        self._quarantine.add(Quarantined(file, line, flaw.kind, flaw.why, text))

    def _result(self, rows: Numbers, is_held_out: Numbers, near: NearDuplicates | None) -> Screened:
        import numpy

        self._quarantine.finish()
        store = self._store
        findings, accepted = Findings(), set(rows.tolist()) if store.found else set()
        for index, found in store.found.items():
            if index in accepted:
                findings.note(*store.place(index), found)
        return Screened(
            rows_by_file=dict(self._rows_by_file),
            set_of=self._set_of,
            train=Rows(store, rows[~is_held_out]),
            eval=Rows(store, rows[is_held_out]),
            quarantined=self._quarantine,
            contradictions=find_contradictions(store, numpy.sort(rows)),
            tokens=numbers(self._tokens, "u4"),
            findings=findings,
            nearly=count_nearly(store, rows, is_held_out, near) if near else Nearly(),
            in_groups=int((store.groups[rows] != 0).sum()),
            not_used=self._not_used.rows,
            first=self._first,
        )


def group_of(value: object, group_by: str) -> str:
    """Return what a row has in the field that groups go by, as text; nothing where it has none."""
    found = value.get(group_by) if group_by and isinstance(value, dict) else None
    return "" if found is None else json.dumps(found, sort_keys=True, default=str)


def _batches(rows: Iterable[SourceRow]) -> Iterator[list[SourceRow]]:
    """Yield rows by the ten thousand, fewer where they are long."""
    batch: list[SourceRow] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += row.size
        if len(batch) == BATCH_ROWS or size > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def fingerprint(train: Rows, held_out: Rows) -> str:
    """Return `sha256:...` over the content and order of the accepted rows of both sets."""
    digest = hashlib.sha256()
    for name, rows in (("train", train), ("eval", held_out)):
        digest.update(f"{name} {len(rows)}\n".encode())
        for content in rows.contents():
            digest.update(content + b"\n")
    return f"sha256:{digest.hexdigest()}"
