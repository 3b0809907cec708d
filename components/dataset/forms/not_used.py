"""The fields that have no meaning for training, counted."""

from collections.abc import Iterable, Mapping

from components.web import quoted

MOST_NAMES = 100
NAME_CHARACTERS = 60
OTHERS = "others"
NAMES_TOLD = 10


class NotUsed:
    """Counts, by field, the rows in which it had a value that was not used.

    A stranger's file may have a million names: of them `MOST_NAMES` are kept, the rest are `others`.
    """

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    @property
    def rows(self) -> dict[str, int]:
        """Return the rows by field, most first; fields inside of turns are called `messages[].name`."""
        return dict(sorted(self._rows.items(), key=lambda item: (item[0] == OTHERS, -item[1], item[0])))

    def note(self, names: Iterable[str]) -> None:
        """Count the fields of a row, each once."""
        for name in {self._kept(name) for name in names}:
            self._rows[name] = self._rows.get(name, 0) + 1

    def _kept(self, name: str) -> str:
        # Cut before it is looked at: a name may be as long as a file.
        name = quoted(name, NAME_CHARACTERS)
        return name if name in self._rows or len(self._rows) < MOST_NAMES else OTHERS


def told(rows: Mapping[str, int]) -> str:
    """Return the fields that were not used on one line: `category (1,000 rows), id (20 rows)`."""
    names = [f"{name} ({count:,} {'row' if count == 1 else 'rows'})" for name, count in rows.items()]
    more = [f"{len(names) - NAMES_TOLD} more"] if len(names) > NAMES_TOLD else []
    return ", ".join(names[:NAMES_TOLD] + more)
