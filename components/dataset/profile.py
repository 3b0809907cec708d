"""What is kept of a dataset to compare a later one with: counts and hashes, never a text."""

import hashlib
import re
import zlib
from array import array
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.dataset.arrays import Numbers, numbers
from components.dataset.row_store import Row, Rows, answer_number, folded
from components.tracking.log import StageLog

FILE, MOST_BYTES = "dataset-profile.json", 1 << 20
# Of so many prompts, which their hashes choose, it is known what is answered and in which words.
PROMPTS_KEPT, WORDS_KEPT = 4096, 256
# Words and labels are counted in so many buckets. A hash of its own would give a short label away to whoever
# tries some; of a thousand words that people would try, each bucket has one.
BUCKETS = 1024
BINS_PER_OCTAVE = 4
WORD = re.compile(r"\w{1,64}")

Count = Annotated[int, Field(ge=0, le=1 << 53)]
Key = Annotated[int, Field(ge=0, lt=1 << 64)]
Bin = Annotated[int, Field(ge=0, le=BINS_PER_OCTAVE * 32)]
Bucket = Annotated[int, Field(ge=0, lt=BUCKETS)]


class DatasetProfile(BaseModel):
    """The accepted rows of a dataset, counted.

    Attributes:
        format: Of this record.
        rows: Their number.
        prompts: The number of different prompts.
        lengths: Rows by how long they are: `length_bin` of their tokens.
        answers: Of the prompts with the lowest hashes, a mark of the answers: it takes the prompt's text to
            tell whether an answer that one guesses is right.
        labels: Rows by the bucket of their answer, where answers are labels; else nothing.
        words: Words of the rows of those prompts, by bucket.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    rows: Count
    prompts: Count
    lengths: dict[Bin, Count]
    answers: dict[Key, Key] = Field(max_length=PROMPTS_KEPT)
    labels: dict[Bucket, Count]
    words: tuple[Count, ...] = Field(min_length=BUCKETS, max_length=BUCKETS)


def profile_of(rows: Rows, has_labels: bool) -> DatasetProfile:
    """Return the profile of rows; of them, no more than `PROMPTS_KEPT` are read.

    Args:
        rows: All accepted rows, in whatever order.
        has_labels: Whether their answers are labels.
    """
    import numpy

    asked, answers = rows.store.asked[rows.indices], rows.store.answers[rows.indices]
    lengths = numpy.floor(BINS_PER_OCTAVE * numpy.log2(numpy.maximum(rows.tokens, 1)))
    ordered = numpy.sort(asked)  # numpy.unique takes 80 times as long where it is asked for nothing else
    prompts = ordered[numpy.diff(ordered, prepend=~ordered[:1]) != 0]
    kept = prompts[:PROMPTS_KEPT]
    marks, words = dict[int, int](), array("H")
    if len(kept):
        chosen = numpy.flatnonzero(asked <= kept[-1])
        contents = rows.store.contents[rows.indices[chosen]]
        chosen = chosen[numpy.lexsort((contents, asked[chosen]))]  # in no order but that of what they hold
        begins = numpy.flatnonzero(numpy.concatenate([[True], numpy.diff(asked[chosen]) != 0]))
        # Several answers to one prompt, in whatever order. What nobody may see is no part of a mark: a phone
        # number is guessed by trying them all.
        is_plain = ~rows.store.is_found[rows.indices[chosen]]
        said = numpy.add.reduceat(answers[chosen].astype("u8") * is_plain, begins)
        for prompt, all_said, row in zip(
            kept.tolist(), said.tolist(), rows.where(chosen[begins]), strict=True
        ):
            marks[prompt] = _mark(row, all_said)
            words.extend(_words(row))
    return DatasetProfile(
        rows=len(rows),
        prompts=len(prompts),
        lengths=_counted(lengths.astype(int)),
        answers=marks,
        labels=_counted(answers % BUCKETS) if has_labels else {},
        words=tuple(numpy.bincount(numbers(words, "u2"), minlength=BUCKETS).tolist()),
    )


def keep_profile(profile: DatasetProfile, stage: StageLog) -> None:
    """Keep a profile with the run."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        path.write_text(profile.model_dump_json(), encoding="utf-8")
        stage.file(path)


def label_bucket(answer: str) -> int:
    """Return the bucket in which a label is counted."""
    return answer_number(folded(answer)) % BUCKETS


def longest_of(length_bin: int) -> float:
    """Return the tokens that rows of a bin stay below."""
    return float(2 ** ((length_bin + 1) / BINS_PER_OCTAVE))


def _counted(values: Numbers) -> dict[int, int]:
    import numpy

    counts = enumerate(numpy.bincount(values).tolist())
    return {value: count for value, count in counts if count}


def _mark(row: Row, said: int) -> int:
    text = f"{row.shown_prompt_key}\x1c{said}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def _words(row: Row) -> list[int]:
    """Return the buckets of a row's first words."""
    found = (word[0] for turn in row.view.messages for word in WORD.finditer(turn.content))
    return [
        zlib.crc32(word.casefold().encode("utf-8", "replace")) % BUCKETS for word in islice(found, WORDS_KEPT)
    ]
