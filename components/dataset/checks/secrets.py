"""Keys and tokens of the known kinds in texts, found by Kingfisher, which is told to ask nobody anything.

It is a program of its own, with some 490 rules, that looks at 50 MB a second. It compiles its rules at the
first use, which takes seconds, and keeps them in a folder that is ours alone.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from components.dataset.arrays import text_column
from components.dataset.checks.spans import Span
from components.engine.private_folder import NotPrivate, make_private
from components.errors import TunegateError
from components.settings import make_home

BATCH_BYTES = 64 << 20
TIMEOUT_S = 600
PARTNERS_AT_ONCE = 200
# Kingfisher's own variable: where it keeps compiled rules.
CACHE_VARIABLE = "KF_RULE_CACHE_DIR"
_NOTHING, _FOUND = 0, 200  # exit statuses of a scan that went through
_LINE_BREAKS = str.maketrans("\r\n", "  ")
_ENCODED = re.compile(r"[A-Za-z0-9+/=_-]+")


class ScanFailed(TunegateError):
    """The search for secrets did not get through all of the rows, so nothing can be said about them."""


def find_secrets(
    rows: Iterable[Sequence[str]], timeout_s: float = TIMEOUT_S
) -> dict[tuple[int, int], list[Span]]:
    """Return what was found, by the number of the row and of the text in it.

    Args:
        rows: The texts of each row; those of one row may explain one another, as a key's name and its value.
        timeout_s: Longest search in 64 MB of them, after which it is given up.

    Raises:
        ScanFailed: The search failed or took too long.
    """
    found: dict[tuple[int, int], list[Span]] = {}
    first, batch, size = 0, list[Sequence[str]](), 0
    for texts in rows:
        batch.append(texts)
        size += sum(map(len, texts))
        if size >= BATCH_BYTES:
            found |= _in_batch(batch, first, timeout_s)
            first, batch, size = first + len(batch), [], 0
    return found | _in_batch(batch, first, timeout_s)


def _in_batch(rows: list[Sequence[str]], first: int, timeout_s: float) -> dict[tuple[int, int], list[Span]]:
    found: dict[tuple[int, int], list[Span]] = {}
    partners: set[tuple[str, str]] = set()
    for finding, rule in _scan(rows, timeout_s):
        number = finding["line"] - 1
        partners |= {(value, rule) for value in finding.get("dependent_captures", {}).values() if value}
        start, end = _place(_line(rows[number]), finding)
        for text, span in _parts(rows[number], start, end, rule):
            found.setdefault((first + number, text), []).append(span)
    for place, span in _partners(rows, sorted(partners)):
        found.setdefault((first + place[0], place[1]), []).append(span)
    return found


def _partners(
    rows: list[Sequence[str]], partners: list[tuple[str, str]]
) -> Iterator[tuple[tuple[int, int], Span]]:
    """Yield where the second halves of pairs stand, such as a key beside its id: they are told by value."""
    import pyarrow.compute as pc

    for start in range(0, len(partners), PARTNERS_AT_ONCE):
        some = partners[start : start + PARTNERS_AT_ONCE]
        pattern = "|".join(re.escape(value) for value, _ in some)
        column = text_column(map(_line, rows))
        for number in pc.indices_nonzero(pc.match_substring_regex(column, pattern)).to_pylist():
            line = _line(rows[number])
            for value, rule in some:
                position = line.find(value)
                while position >= 0:
                    for text, span in _parts(rows[number], position, position + len(value), rule):
                        yield (number, text), span
                    position = line.find(value, position + len(value))


def _line(texts: Sequence[str]) -> str:
    """Return a row as one line, of which every character stands for one of its texts or between two."""
    line = " ".join(texts).translate(_LINE_BREAKS)
    return line if line.isascii() else line.encode("utf-8", "replace").decode()


def _place(line: str, finding: dict[str, Any]) -> tuple[int, int]:
    """Return first character and the one after the last; columns are bytes from 0, the last included."""
    content = line.encode()
    start = len(content[: finding["column_start"]].decode("utf-8", "ignore"))
    end = len(content[: finding["column_end"] + 1].decode("utf-8", "ignore"))
    if line[start:end] == finding["snippet"]:
        return start, end
    # It was found within Base64, or is a part of what is shown: take the whole word or words.
    while start and _ENCODED.fullmatch(line[start - 1]):
        start -= 1
    while end < len(line) and _ENCODED.fullmatch(line[end]):
        end += 1
    return start, end


def _parts(texts: Sequence[str], start: int, end: int, rule: str) -> Iterator[tuple[int, Span]]:
    """Yield what a span of the line is in each text that it touches."""
    offset = 0
    for number, text in enumerate(texts):
        inside, outside = max(start - offset, 0), min(end - offset, len(text))
        if inside < outside:
            yield number, Span(inside, outside, "secret", rule)
        offset += len(text) + 1


def _scan(rows: list[Sequence[str]], timeout_s: float) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each finding and the name of its rule."""
    if not any(text for texts in rows for text in texts):
        return
    # What is found is in the files here, which nobody else can read and which go when it is done.
    with TemporaryDirectory(prefix="tunegate-") as name:
        folder = Path(name)
        try:
            with (folder / "rows.txt").open("wb") as file:
                for texts in rows:
                    file.write(_line(texts).encode() + b"\n")
                size = file.tell()
        except OSError as error:
            raise ScanFailed(
                "looking for secrets failed: the rows can't be written to the temporary directory "
                f"({error.strerror}); make room there, or name another with TMPDIR"
            ) from error
        _run(folder, timeout_s)
        yield from _read(folder / "found.jsonl", size)


def _run(folder: Path, timeout_s: float) -> None:
    from kingfisher import get_binary_path

    # fmt: off
    command = [
        get_binary_path(), "scan", "rows.txt", "--format", "jsonl", "--output", "found.jsonl", "--quiet",
        # By default it would try what it finds, ask for updates, report equal ones once, and obey a row that
        # says "gitleaks:allow".
        "--no-validate", "--no-update-check", "--no-dedup", "--no-ignore", "--max-file-size", "0",
        "--rule-cache-dir", str(_cache(folder)),
    ]
    # fmt: on
    # Nothing of the environment: it has credentials, proxies and the tool's own switches.
    environment = {"HOME": str(folder), "TMPDIR": str(folder), "PATH": os.defpath}
    try:
        ended = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # it may quote what it found
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ScanFailed(
            f"looking for secrets took longer than {timeout_s:g} s and was given up; try again on a machine "
            "with less to do"
        ) from error
    except OSError as error:
        raise ScanFailed(
            f"looking for secrets failed: kingfisher can't be run ({error.strerror}); install kingfisher-bin"
        ) from error
    if ended.returncode not in (_NOTHING, _FOUND):
        raise ScanFailed(
            f"looking for secrets failed: kingfisher ended with status {ended.returncode}; see that there is "
            "room for a copy of the rows in the temporary directory, and memory"
        )


def _cache(folder: Path) -> Path:
    """Return a folder of our own for compiled rules, which are run; without one they are compiled anew."""
    try:
        named = os.environ.get(CACHE_VARIABLE)
        cache = Path(named).resolve() if named else make_home() / "secret-rules"
        make_private(cache)
    except (OSError, NotPrivate):
        return folder / "rules"
    return cache if os.access(cache, os.W_OK) else folder / "rules"


def _read(path: Path, size: int) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the findings; the last line tells whether all was looked at."""
    seen = None
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                entry = json.loads(line)
                if "finding" in entry:
                    yield entry["finding"], entry["rule"]["name"]
                elif "audit" in entry:
                    (scanned,) = entry["audit"]["repositories"]
                    seen = scanned["stats"]["bytes_scanned"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScanFailed(
            f"looking for secrets failed: kingfisher's findings can't be read ({type(error).__name__})"
        ) from error
    if seen != size:
        raise ScanFailed(
            f"looking for secrets failed: kingfisher looked at {seen or 0:,} of {size:,} bytes of the rows"
        )
