"""JSON as rows hold it: a name that an object has twice would hide one of its values, and is told."""

import json
from collections import Counter
from typing import Any

from components.dataset.flaws import RowFlaw, excerpt


class JsonValues:
    """Decodes JSON and notes which name an object has more than once; for one thread at a time.

    Attributes:
        decoder: What decodes. It gives such an object the last value, as `json.loads` does.
    """

    def __init__(self) -> None:
        self.decoder = json.JSONDecoder(object_pairs_hook=self._object)
        self._repeated: str | None = None

    def flaw(self) -> RowFlaw | None:
        """Return what is wrong with what was decoded since this was asked last."""
        name, self._repeated = self._repeated, None
        if name is None:
            return None
        return RowFlaw("ambiguous", f"has {excerpt(name)} more than once in one object; wanted it once")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = Counter(name for name, _ in pairs)
            self._repeated = names.most_common(1)[0][0]
        return found


def read_json(text: str) -> Any:
    """Read a value that is kept as JSON text.

    Raises:
        ValueError: It is no JSON.
        RecursionError: It is nested too deeply.
        RowFlaw: An object in it has a name more than once.
    """
    values = JsonValues()
    value = values.decoder.decode(text)
    if flaw := values.flaw():
        raise flaw
    return value
