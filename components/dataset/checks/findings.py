"""What was found in accepted rows, counted: kinds and lines, never the text."""

from collections import Counter
from dataclasses import dataclass, field

from components.dataset.checks.spans import WHATS, What

LINES_KEPT = 20


@dataclass
class Findings:
    """Rows in which something was found.

    Attributes:
        rows: How many rows hold it, by kind: `email`, `secret: github-pat`.
        places: The first 20 of them, file and line, by kind.
        with_secrets: Rows that hold a secret.
        with_personal_data: Rows that hold personal data.
    """

    rows: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    with_secrets: int = 0
    with_personal_data: int = 0

    def note(self, file: str, line: int, found: tuple[str, ...]) -> None:
        """Count what was found in one row."""
        kinds = [kind_of(name) for name in found]
        self.with_secrets += "secret" in kinds
        self.with_personal_data += any(kind != "secret" for kind in kinds)
        for name in found:
            self.rows[name] += 1
            places = self.places.setdefault(name, [])
            if len(places) < LINES_KEPT:
                places.append((file, line))


def kind_of(name: str) -> What:
    """Return which of `WHATS` a name such as `secret: github-pat` begins with."""
    return next(what for what in WHATS if name.partition(":")[0] == what)
