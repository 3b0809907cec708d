"""Names of fields, which a table without a header takes from its first row: shown if anybody may see them."""

from collections.abc import Mapping, Sequence

from components.dataset.checks.sift import found_in_raw
from components.dataset.checks.spans import Search

WITHHELD = "[withheld]"


def shown_counts(rows: Mapping[str, int], search: Search) -> dict[str, int]:
    """Return rows by field, those whose names may not be seen under one.

    Args:
        rows: Rows by field.
        search: Says what of a name nobody may see.

    Raises:
        ScanFailed: The search for secrets failed.
    """
    shown: dict[str, int] = {}
    for name, told in zip(rows, _shown([*rows], search), strict=True):
        shown[told] = shown.get(told, 0) + rows[name]
    return shown


def shown_text(text: str) -> str:
    """Return a text that has names of fields in it, or nothing of it.

    Raises:
        ScanFailed: The search for secrets failed.
    """
    return _shown([text], found_in_raw)[0]


def _shown(texts: Sequence[str], search: Search) -> list[str]:
    # Keys, numbers and addresses have one of these; most names do not, and a search takes its time.
    doubtful = [text for text in texts if "@" in text or any(sign.isdigit() for sign in text)]
    withheld = {text for text, found in zip(doubtful, search(doubtful), strict=True) if found}
    return [WITHHELD if text in withheld else text for text in texts]
