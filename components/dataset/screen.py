"""Accept or quarantine every row, and part what is accepted into a train and an eval set."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from components.dataset.arrays import Numbers, numbers
from components.dataset.checks.findings import Findings
from components.dataset.checks.names import shown_counts
from components.dataset.checks.near import NearDuplicates, near_duplicates
from components.dataset.contradictions import Contradictions, find_contradictions
from components.dataset.files.source_row import SourceRow
from components.dataset.intake import Intake
from components.dataset.nearly import Nearly, count_nearly
from components.dataset.quarantine import Quarantine
from components.dataset.row_store import Rows
from components.dataset.rows import RowFlaw
from components.dataset.split import held_out_of
from components.errors import InvalidInput
from components.sources.names import file_name

FileRows = tuple[str, Iterable[SourceRow]]


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


class Screen:
    """Sorts rows into accepted and quarantined; they are read once, and kept on disk.

    Args:
        intake: Takes them in.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._store, self._signatures, self._group_by = intake.store, intake.signatures, intake.group_by

    def with_eval_file(self, train: FileRows, held_out: FileRows) -> Screened:
        """Screen two files, each a name and its rows; train rows that ask what is held out are set aside.

        Raises:
            InvalidInput: One of them says itself what is held out of it.
        """
        eval_rows, train_rows = self._intake.take(*held_out), self._intake.take(*train)
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
        rows = self._intake.take(*train)
        own = self._store.held_out[rows]
        if own.any():
            return self._parted(rows[~own], rows[own])
        rows = self._distinct(rows)
        near = self._near(rows)
        groups = self._store.groups[rows] if self._group_by else None
        labels = near.by_prompt if near else None
        held_out = held_out_of(self._store.prompts[rows], eval_fraction, labels, groups)
        return self._result(rows, held_out, near)

    def note_unused(self, names: Iterable[str]) -> None:
        """Count fields that a file has beside its rows."""
        self._intake.not_used.note(names)

    def _parted(self, train: Numbers, held_out: Numbers) -> Screened:
        import numpy

        eval_rows = self._distinct(held_out)
        train_rows = self._distinct(self._unleaked(train, eval_rows))
        rows = numpy.concatenate([train_rows, eval_rows])
        return self._result(rows, numpy.arange(len(rows)) >= len(train_rows), self._near(rows))

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
        self._intake.set_aside(*self._store.place(index), self._store.text(index), flaw)

    def _result(self, rows: Numbers, is_held_out: Numbers, near: NearDuplicates | None) -> Screened:
        import numpy

        intake, store = self._intake, self._store
        not_used = shown_counts(intake.not_used.rows, intake.quarantine.finish)
        findings = Findings()
        for index in rows[store.is_found[rows]]:
            findings.note(*store.place(index), store.found(index))
        return Screened(
            rows_by_file=dict(intake.rows_by_file),
            set_of=intake.set_of,
            train=Rows(store, rows[~is_held_out]),
            eval=Rows(store, rows[is_held_out]),
            quarantined=intake.quarantine,
            contradictions=find_contradictions(store, numpy.sort(rows)),
            tokens=numbers(intake.tokens, "u4"),
            findings=findings,
            nearly=count_nearly(store, rows, is_held_out, near) if near else Nearly(),
            in_groups=int((store.groups[rows] != 0).sum()),
            not_used=not_used,
            first=intake.first,
        )


def fingerprint(train: Rows, held_out: Rows) -> str:
    """Return `sha256:...` over the content and order of the accepted rows of both sets."""
    digest = hashlib.sha256()
    for name, rows in (("train", train), ("eval", held_out)):
        digest.update(f"{name} {len(rows)}\n".encode())
        for content in rows.contents():
            digest.update(content + b"\n")
    return f"sha256:{digest.hexdigest()}"
