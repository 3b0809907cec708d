"""Accept or quarantine every row, and part what is accepted into a train and an eval set."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.conversations import Conversation
from components.dataset.quarantine import Quarantine, Quarantined
from components.dataset.row_store import Numbers, Row, Rows, RowStore, numbers
from components.dataset.rows import RowFlaw, to_conversation
from components.dataset.source_row import SourceRow
from components.errors import InvalidInput

Lengths = Callable[[Sequence[Conversation]], list[int | RowFlaw]]
FileRows = tuple[str, Iterable[SourceRow]]
BATCH_ROWS, BATCH_CHARACTERS = 1000, 4 << 20
CONTRADICTIONS_KEPT = 20  # groups that are shown


@dataclass(frozen=True)
class Contradictions:
    """Rows in groups of one prompt whose answers differ by more than case and white space.

    Attributes:
        rows: How many there are.
        groups: In how many groups.
        first: The first groups, in the order of the rows.
    """

    rows: int
    groups: int
    first: list[Rows]


@dataclass(frozen=True)
class Screened:
    """What became of every row: `rows_in` is always train plus eval plus quarantined.

    Attributes:
        rows_by_file: Rows read, by file.
        train: Accepted for training.
        eval: Held out.
        quarantined: Set aside.
        contradictions: Accepted rows of one prompt and different answers.
        tokens: Tokens of every row that is sound but for its length, accepted or not.
    """

    rows_by_file: dict[str, int]
    train: Rows
    eval: Rows
    quarantined: Quarantine
    contradictions: Contradictions
    tokens: Numbers

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
    """

    def __init__(self, max_length: int, lengths: Lengths | None, seed: int) -> None:
        self._max_length, self._lengths = max_length, lengths
        self._rows_by_file: Counter[str] = Counter()
        self._tokens = array("I")
        self._quarantine, self._store = Quarantine(), RowStore(seed)
        self._held_out = array("B")  # for each row of the store, whether its own file holds it out

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
            if 0 < self._sides(rows).sum() < len(rows)
        ]
        if problems:
            raise InvalidInput("dataset and eval_dataset", problems)
        return self._parted(train_rows, eval_rows)

    def with_split(self, train: FileRows, eval_fraction: float) -> Screened:
        """Screen one file and hold out a share of it, or what it says itself is to be held out."""
        rows = self._sound(*train)
        own = self._sides(rows)
        if own.any():
            return self._parted(rows[~own], rows[own])
        rows = self._distinct(rows)
        held_out = split(self._store.prompts[rows], eval_fraction)
        return self._result(rows[~held_out], rows[held_out])

    def _sides(self, rows: Numbers) -> Numbers:
        sides: Numbers = numbers(self._held_out, "u1")[rows] == 1
        return sides

    def _parted(self, train: Numbers, held_out: Numbers) -> Screened:
        eval_rows = self._distinct(held_out)
        return self._result(self._distinct(self._unleaked(train, eval_rows)), eval_rows)

    def _sound(self, file: str, source_rows: Iterable[SourceRow]) -> Numbers:
        """Keep the rows that can be used by themselves, whatever the others are; return which those are."""
        import numpy

        first = len(self._store)
        # The tokenizer is no Python: while it works on one batch, the next one is read.
        with ThreadPoolExecutor(1) as tokenizing:
            before = None
            for batch in _batches(source_rows):
                read = list(self._read(file, batch))
                counted = tokenizing.submit(self._count, [conversation for _, conversation in read])
                if before:
                    self._keep(file, before[0], before[1].result())
                before = read, counted
            if before:
                self._keep(file, before[0], before[1].result())
        return numpy.arange(first, len(self._store))

    def _read(self, file: str, batch: Sequence[SourceRow]) -> Iterator[tuple[SourceRow, Conversation]]:
        self._rows_by_file[file] += len(batch)
        for source in batch:
            try:
                if source.flaw:
                    raise source.flaw
                yield source, to_conversation(source.value)
            except RowFlaw as flaw:
                self._set_aside(file, source.line, source.text, flaw)

    def _count(self, conversations: Sequence[Conversation]) -> list[int | RowFlaw]:
        return self._lengths(conversations) if self._lengths else [0] * len(conversations)

    def _keep(
        self,
        file: str,
        read: Sequence[tuple[SourceRow, Conversation]],
        lengths: Sequence[int | RowFlaw],
    ) -> None:
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
                self._store.add(Row(file, source.line, source.text, conversation, tokens))
                self._held_out.append(source.side == "eval")

    def _unleaked(self, train: Numbers, held_out: Numbers) -> Numbers:
        """Leave out the rows that ask what is held out."""
        import numpy

        asked, first = numpy.unique(self._store.prompts[held_out], return_index=True)
        prompts = self._store.prompts[train]
        leaks = numpy.isin(prompts, asked)
        twins = held_out[first[numpy.searchsorted(asked, prompts[leaks])]]
        for index, twin in zip(train[leaks], twins, strict=True):
            file, line = self._store.place(twin)
            why = f"asks what line {line} of {file_name(file)} holds out"
            self._set_row_aside(index, RowFlaw("leaks_eval", why))
        return train[~leaks]

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

    def _result(self, train: Numbers, held_out: Numbers) -> Screened:
        import numpy

        store = self._store
        accepted = numpy.sort(numpy.concatenate([train, held_out]))
        rows, groups, first = contradictions(store.prompts[accepted], store.answers[accepted])
        return Screened(
            rows_by_file=dict(self._rows_by_file),
            train=Rows(store, train),
            eval=Rows(store, held_out),
            quarantined=self._quarantine,
            contradictions=Contradictions(rows, groups, [Rows(store, accepted[group]) for group in first]),
            tokens=numbers(self._tokens, "u4"),
        )


def _batches(rows: Iterable[SourceRow]) -> Iterator[list[SourceRow]]:
    """Yield rows by the thousand, fewer where they are long."""
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


def split(prompts: Numbers, eval_fraction: float) -> Numbers:
    """Part rows into train and eval by prompt: no prompt is in both.

    Prompts are held out in the order of their seeded keys: a row that is added later moves no other one.

    Args:
        prompts: A key of each row's prompt.
        eval_fraction: The share that is held out, or a little more.

    Returns:
        For each row, whether it is held out.
    """
    import numpy

    keys, counts = numpy.unique(prompts, return_counts=True)
    before = numpy.cumsum(counts) - counts
    held_out = keys[before < round(len(prompts) * eval_fraction)]
    return numpy.isin(prompts, held_out)


def contradictions(prompts: Numbers, answers: Numbers) -> tuple[int, int, list[Numbers]]:
    """Find the prompts that have several answers.

    Args:
        prompts: A key of each row's prompt.
        answers: A key of each row's answer.

    Returns:
        How many rows have such a prompt, how many prompts those are, and the indices of the rows of the first
        of them.
    """
    import numpy

    if not len(prompts):
        return 0, 0, []
    order = numpy.argsort(prompts, kind="stable")
    begins = numpy.flatnonzero(numpy.concatenate([[True], numpy.diff(prompts[order]) != 0]))
    ends = numpy.append(begins[1:], len(order))
    sorted_answers = answers[order]
    several = numpy.minimum.reduceat(sorted_answers, begins) != numpy.maximum.reduceat(sorted_answers, begins)
    begins, ends = begins[several], ends[several]
    first = numpy.argsort(order[begins], kind="stable")[:CONTRADICTIONS_KEPT]
    groups = [order[begins[group] : ends[group]] for group in first]
    return int(numpy.sum(ends - begins)), len(begins), groups


def fingerprint(train: Rows, held_out: Rows) -> str:
    """Return `sha256:...` over the content and order of the accepted rows of both sets."""
    digest = hashlib.sha256()
    for name, rows in (("train", train), ("eval", held_out)):
        digest.update(f"{name} {len(rows)}\n".encode())
        for content in rows.contents():
            digest.update(content + b"\n")
    return f"sha256:{digest.hexdigest()}"
