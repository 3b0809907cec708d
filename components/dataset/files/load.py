"""Read a file of training rows, whatever its format, into rows that know where they stood."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from components.dataset.files.foreign import what_it_is
from components.dataset.files.json_rows import json_rows
from components.dataset.files.parquet import parquet_rows
from components.dataset.files.source_row import SourceRow
from components.dataset.files.table_rows import DELIMITERS, table_rows
from components.dataset.files.text import decode
from components.errors import InvalidInput
from components.sources.address import Source, parse_source
from components.sources.content import Content, open_source
from components.sources.digests import Contents
from components.sources.expand import check_all, expanded

PARQUET, PARQUET_BEGINS = ".parquet", b"PAR1"
WANTED = "wanted one row a line, each a JSON object"


class RowFile:
    """The rows of a JSONL, JSON, CSV, TSV or Parquet file, read as they are asked for.

    Args:
        source: A path or URL, packed or not. The ending says the format; any other is read as JSON.
        limit_bytes: The most that may arrive, and the most that it may unpack to.
        before_bytes: What the files before it, of the same parameter, have taken of that.

    Attributes:
        digest: The `sha256:...` of the content that the rows were read from, unpacked; known at their end.
        size_bytes: How much that is.
        beside: Fields that the file has beside its rows.
    """

    def __init__(self, source: str | Source, limit_bytes: int, before_bytes: int = 0) -> None:
        self._source = parse_source(source) if isinstance(source, str) else source
        self._limit_bytes, self._before_bytes = limit_bytes, before_bytes
        self._has_text = False
        self.beside: list[str] = []
        self.digest, self.size_bytes = "", 0

    def __iter__(self) -> Iterator[SourceRow]:
        """Yield every row; blank lines are no rows.

        Raises:
            InvalidInput: It is not there, can't be read, is too large, damaged, empty or no UTF-8, or has no
                rows. That may be told after some of its rows.
        """
        name, count = self._source.shown, 0
        with open_source(self._source, self._limit_bytes, self._before_bytes) as content:
            for row in self._rows(content, name):
                count += 1
                yield row
            self.digest, self.size_bytes = content.digest, content.count
        if not self._has_text:
            raise InvalidInput(name, [f"is empty; {WANTED}"])
        if not count:
            raise InvalidInput(name, [f"has no rows; {WANTED}"])

    def _rows(self, content: Content, name: str) -> Iterator[SourceRow]:
        suffix, chunks = content.file.suffix.lower(), self._chunks(content)
        head = next(chunks, b"")
        if problem := what_it_is(head):
            raise InvalidInput(name, [problem])
        read = chain([head], chunks)
        if suffix == PARQUET or head.startswith(PARQUET_BEGINS):
            with _on_disk(read, name) as path:
                yield from parquet_rows(path, name, self._limit_bytes)
        elif suffix in DELIMITERS:
            yield from table_rows(decode(read, name), suffix, name)
        else:
            yield from json_rows(decode(read, name), suffix, name, self.beside)

    def _chunks(self, content: Content) -> Iterator[bytes]:
        while chunk := content.read():
            self._has_text = self._has_text or bool(chunk.strip())
            yield chunk


class RowFiles:
    """The rows of all files that a parameter names.

    Args:
        named: As `components.sources.expand.expanded` takes it; empty: there are none.
        limit_bytes: The most that all of them may take.
        say: Told which files beside them are not read.

    Attributes:
        contents: What the files hold; known at their end.
        beside: Fields that files have beside their rows.
    """

    def __init__(self, named: str, limit_bytes: int, say: Callable[[str], None]) -> None:
        self._named, self._limit_bytes, self._say = named, limit_bytes, say
        self.contents = Contents((), ())
        self.beside: list[str] = []

    def __iter__(self) -> Iterator[SourceRow]:
        """Yield every row, file by file.

        Raises:
            InvalidInput: What is wrong with any of the files; the rows of the others came before.
        """
        names, digests, refused, count = list[str](), list[str](), list[InvalidInput](), 0
        with expanded(self._named, self._limit_bytes) as files:
            if files.not_read:
                self._say(files.not_read)
            for source in files.sources:
                file = RowFile(source, self._limit_bytes, count)
                try:
                    yield from file
                except InvalidInput as error:
                    refused.append(error)
                    continue
                count += file.size_bytes
                self.beside += file.beside
                names.append(source.shown)
                digests.append(file.digest)
        check_all(self._named, refused)
        self.contents = Contents(tuple(names), tuple(digests))


@contextmanager
def _on_disk(chunks: Iterator[bytes], name: str) -> Iterator[Path]:
    """Keep a file on disk while it is read: Parquet says at its end what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        try:
            with path.open("wb") as file:
                for chunk in chunks:
                    file.write(chunk)
        except OSError as error:
            where = f"{tempfile.gettempdir()}: {error.strerror}; TMPDIR names another folder"
            raise InvalidInput(name, [f"could not be kept in {where}"]) from None
        yield path
