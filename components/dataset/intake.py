"""Rows on their way in: read, searched and counted batch by batch, and kept where they can be used."""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from components.conversations import Conversation
from components.dataset.arrays import Numbers
from components.dataset.checks.near import asked_and_answered
from components.dataset.checks.sift import Sieve, Sifted, found_in_raw
from components.dataset.checks.signatures import Signatures
from components.dataset.files.source_row import SourceRow
from components.dataset.quarantine import Quarantine, Quarantined
from components.dataset.row_store import Row, RowStore
from components.dataset.rows import NO_COLUMNS, Columns, NotUsed, Preferences, RowFlaw, to_conversation

Lengths = Callable[[Sequence[Conversation]], list[int | RowFlaw]]
# Large enough that starting the search for secrets costs little, small enough to hold two of them.
BATCH_ROWS, BATCH_CHARACTERS = 20_000, 8 << 20
FILES_KEPT, ROWS_KEPT, SHORT_CHARACTERS = 20, 100, 16 << 10  # of which first rows are kept


class Intake:
    """Takes rows in: what can be used by itself is stored, the rest is set aside.

    Args:
        max_length: Longest row, tokens.
        load_lengths: Returns what counts the tokens of conversations; None where there is no tokenizer to
            count with. It is called while the first rows are searched, which another program does.
        seed: Of the split.
        sieve: Finds secrets and personal data; None: they are not looked for.
        signatures: What near duplicates are told by; None: they are not looked for.
        group_by: The field of a row whose value says which rows are kept on one side of the split.
        columns: Which field of a row is what.
        preferences: Whether the chosen answers of preference rows are used.

    Attributes:
        store: The rows that can be used.
        quarantine: The others.
        tokens: Tokens of every row that is sound but for its length.
        rows_by_file: Rows read, by file.
        set_of: Which set of files each file is of, by its name.
        not_used: Fields that have no meaning for training.
        first: Some of the first rows of each file as they were read.
    """

    def __init__(
        self,
        max_length: int,
        load_lengths: Callable[[], Lengths | None],
        seed: int,
        sieve: Sieve | None = None,
        signatures: Signatures | None = None,
        group_by: str = "",
        columns: Columns = NO_COLUMNS,
        preferences: Preferences = "refuse",
    ) -> None:
        self._max_length, self._load_lengths = max_length, load_lengths
        self.sieve, self.signatures, self.group_by = sieve, signatures, group_by
        self._columns, self._preferences = columns, preferences
        self.store, self.quarantine = RowStore(seed), Quarantine(found_in_raw if sieve else None)
        self.tokens = array("I")
        self._counted = 0  # rows of which the tokens were counted
        self.rows_by_file: Counter[str] = Counter()
        self.set_of: dict[str, str] = {}
        self.not_used = NotUsed()
        self.first: dict[str, list[object]] = {}

    def take(self, files: str, source_rows: Iterable[SourceRow]) -> Numbers:
        """Keep the rows that can be used by themselves, whatever the others are; return which those are.

        Args:
            files: What the set of files is called.
            source_rows: Its rows.
        """
        import numpy

        first = len(self.store)
        # The tokenizer is no Python: while it works on one batch, the next one is read.
        working, before = ThreadPoolExecutor(1), None
        try:
            for batch in _batches(source_rows):
                read = list(self._read(files, batch))
                sifting = working.submit(self._sift, [conversation for _, conversation in read])
                counting = working.submit(_count, self._load_lengths(), sifting)
                if before:
                    self._keep(files, *before)
                before = [source for source, _ in read], sifting, counting
            if before:
                self._keep(files, *before)
        finally:
            working.shutdown(cancel_futures=True)
        return numpy.arange(first, len(self.store))

    def set_aside(self, file: str, line: int, text: str, flaw: RowFlaw) -> None:
        """Quarantine a row."""
        self.quarantine.add(Quarantined(file, line, flaw.kind, flaw.why, text))

    def _read(self, files: str, batch: Sequence[SourceRow]) -> Iterator[tuple[SourceRow, Conversation]]:
        for source in batch:
            name = source.file or files
            self.rows_by_file[name] += 1
            self.set_of.setdefault(name, files)
            if self.rows_by_file[name] <= ROWS_KEPT and source.size <= SHORT_CHARACTERS:
                self._keep_first(name, source.value)
            try:
                if source.flaw:
                    raise source.flaw
                yield source, to_conversation(source.value, self._columns, self._preferences, self.not_used)
            except RowFlaw as flaw:
                self.set_aside(name, source.line, source.text, flaw)

    def _keep_first(self, file: str, value: object) -> None:
        if file in self.first or len(self.first) < FILES_KEPT:
            self.first.setdefault(file, []).append(value)

    def _sift(self, rows: Sequence[Conversation]) -> list[Sifted]:
        """Look for what nobody may see."""
        return self.sieve.conversations(rows) if self.sieve else [Sifted(row, row) for row in rows]

    def _keep(
        self,
        files: str,
        sources: Sequence[SourceRow],
        sifting: "Future[list[Sifted]]",
        counting: "Future[list[int | RowFlaw] | None]",
    ) -> None:
        sifted, lengths = sifting.result(), counting.result()
        kept: list[Conversation] = []
        for source, row, tokens in zip(sources, sifted, lengths or [0] * len(sifted), strict=True):
            name = source.file or files
            number, self._counted = self._counted, self._counted + 1
            if isinstance(tokens, RowFlaw):
                self.set_aside(name, source.line, source.text, tokens)
                continue
            if lengths:
                self.tokens.append(tokens)
            if tokens > self._max_length:
                why = f"is {tokens} tokens long under the chat template; max_length is {self._max_length}"
                self.set_aside(name, source.line, source.text, RowFlaw("too_long", why))
                continue
            shown = row.shown if row.found else None
            self.store.add(
                Row(name, source.line, source.text, row.conversation, tokens, shown, row.found, number),
                group_of(source.value, self.group_by),
                is_held_out=source.side == "eval",
            )
            kept.append(row.conversation)
        if self.signatures is not None:
            self.signatures.add([asked_and_answered(row) for row in kept])


def _count(lengths: Lengths | None, sifting: "Future[list[Sifted]]") -> list[int | RowFlaw] | None:
    """Count the tokens of what the search has left."""
    return lengths([row.conversation for row in sifting.result()]) if lengths else None


def group_of(value: object, group_by: str) -> str:
    """Return what a row has in the field that groups go by, as text; nothing where it has none."""
    found = value.get(group_by) if group_by and isinstance(value, dict) else None
    is_absent = found in (None, "", [], {}) or found != found  # tables have NaN for it
    return "" if is_absent else json.dumps(found, sort_keys=True, default=str)


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
