"""JSON text that is read on as it is needed, in memory for what is being looked at."""

import json
import re
from collections.abc import Iterator
from itertools import chain

from components.dataset.files.source_row import SourceRow, beginning
from components.dataset.files.text import MAX_ROW_CHARACTERS
from components.dataset.json_values import JsonValues

# json.loads raises these on text that is no JSON, or nested or written too absurdly to be a row.
NOT_JSON = (ValueError, RecursionError)
_BLANK = re.compile(r"[ \t\r\n]*")


class Document:
    """JSON text that is read on as it is needed.

    Attributes:
        text: What is held of it.
        position: What of that is read next.
        line: The line on which that stands, from 1.
        name: What the file is called in an error.
    """

    def __init__(self, pieces: Iterator[str], name: str) -> None:
        self._pieces, self.name = pieces, name
        self.text, self.position, self.line = "", 0, 1
        self._column = 0  # of what is held, in its line
        self._values = JsonValues()

    def peek(self) -> str:
        """Return the next character; empty at the end."""
        if self.position == len(self.text):
            self._fill(1)
        return self.text[self.position : self.position + 1]

    def hold(self, characters: int) -> None:
        """Have so many characters at hand, if there are."""
        if len(self.text) - self.position < characters:
            self._fill(characters)

    def skip_blank(self) -> str:
        """Go on to what is not blank and return its first character; empty at the end."""
        while True:
            found = _BLANK.match(self.text, self.position)
            self._go_to(found.end() if found else self.position)
            if self.position < len(self.text) or not self._fill(1):
                return self.peek()

    def skip_comments(self) -> None:
        """Go on to the first line that is no comment."""
        while self.skip_blank() and (self.peek() == "#" or self._starts("//")):
            comment = self.first_line()  # which may read on, and so move where this is
            self._go_to(self.position + len(comment))

    def first_line(self) -> str:
        """Return what is left of this line, or as much of it as a row may have."""
        seen = self.position
        while (end := self.text.find("\n", seen)) < 0:
            seen = len(self.text)
            size = seen - self.position
            if size > MAX_ROW_CHARACTERS or not self._fill(size + 1):
                break
            seen = self.position + size
        return self.text[self.position : end if end >= 0 else len(self.text)]

    def is_all(self, text: str) -> bool:
        """Return whether nothing follows on this text, which is what comes next, or nothing for long."""
        end = self.position + len(text)
        while not self.text[end:].strip():
            size = len(self.text) - self.position
            if size - len(text) > MAX_ROW_CHARACTERS:
                return True  # what is held of a stranger's blanks has an end
            if not self._fill(size + 1):
                return True
            end = self.position + len(text)
        return False

    def rest(self) -> Iterator[str]:
        """Return all that was not read, from where its line begins."""
        return chain([self.text[self.position :]], self._pieces)

    def can_decode(self) -> bool:
        """Return whether a whole value comes next."""
        try:
            self._value()
        except NOT_JSON:
            return False
        return True

    def decode(self) -> object:
        """Read a value.

        Raises:
            ValueError: There is none, or a larger one than a row may be.
            RecursionError: It is nested too deeply.
        """
        value, end = self._value()
        self._go_to(end)
        return value

    def element(self, side: str) -> SourceRow:
        """Read a value as a row."""
        line = self.line
        self._values.flaw()  # of what came before, and is no part of a row
        value, end = self._value()
        text, flaw = beginning(self.text[self.position : end]), self._values.flaw()
        value = None if flaw else value
        row = SourceRow(line, text, value, flaw, size=end - self.position, file=self.name, side=side)
        self._go_to(end)
        return row

    def elements(self, side: str) -> Iterator[SourceRow]:
        """Read the elements of an array one by one, so that each knows its line."""
        self.expect("[")
        if self.skip_blank() == "]":
            self.expect("]")
            return
        while True:
            yield self.element(side)
            if self.skip_blank() == "]":
                self.expect("]")
                return
            if self.peek() != ",":
                raise json.JSONDecodeError("a comma or ] is missing", self.text, self.position)
            self.expect(",")
            self.skip_blank()

    def expect(self, sign: str) -> None:
        """Read one sign."""
        if self.peek() != sign:
            raise json.JSONDecodeError(f"{sign} is missing", self.text, self.position)
        self._go_to(self.position + 1)

    def require_end(self) -> None:
        """Refuse what goes on."""
        if self.skip_blank():
            raise json.JSONDecodeError("it goes on after its end", self.text, self.position)

    def problem(self, error: Exception) -> str:
        """Say what is wrong, and where in the file."""
        if not isinstance(error, json.JSONDecodeError):
            return json_problem(error)
        # Of what is still held, the first line may have begun before it.
        column = error.colno + (self._column if error.lineno == 1 else 0)
        line = self.line - self.text.count("\n", 0, self.position) + error.lineno - 1
        return f"{_words(error)} at line {line}, column {column}"

    def _value(self) -> tuple[object, int]:
        while True:
            size = len(self.text) - self.position
            try:
                value, end = self._values.decoder.raw_decode(self.text, self.position)
            except json.JSONDecodeError:
                # Perhaps it is only not here yet.
                if size > MAX_ROW_CHARACTERS or not self._fill(2 * size + 1):
                    raise
                continue
            # A number that ends where the text does may go on.
            if end < len(self.text) or self.text[end - 1] in '}]"' or not self._fill(2 * size + 1):
                return value, end

    def _starts(self, sign: str) -> bool:
        while len(self.text) - self.position < len(sign) and self._fill(len(sign)):
            pass
        return self.text.startswith(sign, self.position)

    def _go_to(self, position: int) -> None:
        self.line += self.text.count("\n", self.position, position)
        self.position = position

    def _fill(self, wanted: int) -> bool:
        """Read on until so many characters from here on are held; drop those before.

        Returns:
            Whether any came.
        """
        parts = [self.text[self.position :]]
        held = len(parts[0])
        for piece in self._pieces:
            parts.append(piece)
            held += len(piece)
            if held >= wanted:
                break
        else:
            if len(parts) == 1:
                return False  # and all stays where the last error was found
        before = self.text[: self.position]
        self._column = len(before) - before.rfind("\n") - 1 + (0 if "\n" in before else self._column)
        self.text, self.position = "".join(parts), 0
        return True


def json_problem(error: Exception) -> str:
    """Say what is wrong with one value."""
    if isinstance(error, json.JSONDecodeError):
        return f"{_words(error)} at column {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _words(error: json.JSONDecodeError) -> str:
    message = error.msg.removesuffix(" at")
    return message[0].lower() + message[1:]
