"""Text that comes in pieces: decoded, with the place told where it is none, and cut into lines."""

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from components.errors import InvalidInput

# A row that is longer fits into no model's context: it would only fill the memory.
MAX_ROW_CHARACTERS = 16 << 20
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# By itself, so that it is looked for once: a pattern of the whole line would be tried at each of its signs.
_LINE_END = re.compile(r"\r\n|\n|\r(?=.)", re.DOTALL)


class Line(NamedTuple):
    """A line of text.

    Attributes:
        number: From 1.
        text: Without what ends it; only its beginning if it is longer than a row may be.
        is_whole: Whether that is all of it.
    """

    number: int
    text: str
    is_whole: bool


def decode(chunks: Iterable[bytes], name: str) -> Iterator[str]:
    """Decode UTF-8 piece by piece; a byte order mark at its beginning is no text.

    Args:
        chunks: What was read.
        name: What the file is called in an error.

    Raises:
        InvalidInput: It is no UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    begun = False  # whether any text came before
    offset, line = 0, 1  # of the next byte, and the line that it is on
    for chunk in _with_end(chunks):
        pending = decoder.getstate()[0]
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # An end that is cut off is told at its first byte.
            place = offset - len(pending) + error.start
            line += error.object.count(b"\n", 0, error.start)
            byte = error.object[error.start]
            hint = "UTF-16" if offset == 0 and chunk.startswith(UTF16_MARKS) else "another encoding"
            problem = f"byte {place} (line {line}): 0x{byte:02x} is not UTF-8; it looks like {hint}"
            raise InvalidInput(name, [f"{problem}, save it as UTF-8"]) from error
        offset, line = offset + len(chunk), line + text.count("\n")
        if not begun and text:
            begun, text = True, text.removeprefix("\ufeff")
        if text:
            yield text


def _with_end(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks that hold something, and an empty one at the end."""
    yield from filter(None, chunks)
    yield b""


def lines(pieces: Iterable[str]) -> Iterator[Line]:
    """Cut text into lines. Only a line feed ends one: other signs that might are legal inside JSON text."""
    number, parts, size = 1, list[str](), 0
    for piece in pieces:
        for index, part in enumerate(piece.split("\n")):
            if index:
                yield _line(number, parts, size)
                number, parts, size = number + 1, [], 0
            if size <= MAX_ROW_CHARACTERS:
                parts.append(part)
            size += len(part)
    if size:
        yield _line(number, parts, size)


def _line(number: int, parts: list[str], size: int) -> Line:
    return Line(number, "".join(parts)[:MAX_ROW_CHARACTERS], size <= MAX_ROW_CHARACTERS)


def table_lines(pieces: Iterable[str], name: str) -> Iterator[str]:
    """Cut a table's text into lines as `csv` takes them: with their ends, whatever those are.

    Raises:
        InvalidInput: A line is longer than a row may be.
    """
    rest, number = "", 0
    for piece in pieces:
        seen = max(0, len(rest) - 1)  # of what is left, only a \r at its end may yet turn out to end a line
        rest += piece
        end = 0
        for found in _LINE_END.finditer(rest, seen):
            yield rest[end : found.end()]
            number, end = number + 1, found.end()
        rest = rest[end:]
        if len(rest) > MAX_ROW_CHARACTERS:
            raise InvalidInput(
                name,
                [
                    f"line {number + 1} is longer than {MAX_ROW_CHARACTERS:,} characters, as no row is; "
                    "wanted a table with one row a line"
                ],
            )
    if rest:
        yield rest
