"""Rows as tokens in an Arrow file: written once, as they come, then read memory-mapped."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.errors import TunegateError
from components.storage import atomic_write
from components.templates.example import LearnTurns
from components.templates.examples import schema

if TYPE_CHECKING:
    import pyarrow

FORMAT = "1"  # of the file; one of another format is not read


class Unusable(TunegateError):
    """A file of tokens can't be used."""


@dataclass(frozen=True)
class MadeWith:
    """All that the tokens of a training set follow from.

    Attributes:
        tokenizer: A digest of the tokenizer with its chat template.
        learn_turns: Which turns of the assistant are learned.
        train_set: The digest of the training set's file, `sha256:...`.
    """

    tokenizer: str
    learn_turns: LearnTurns
    train_set: str

    def metadata(self) -> dict[str, str]:
        """Return it as it stands in a file."""
        return {"format": FORMAT, **asdict(self)}


# What a person calls it where one of them is another.
_NAMES = {
    "format": "form of file",
    "tokenizer": "tokenizer or chat template",
    "learn_turns": "learn_turns",
    "train_set": "training set",
}


def write_encoded(
    path: Path,
    batches: Iterable["pyarrow.RecordBatch"],
    made_with: MadeWith | None = None,
    max_length: int = 0,
) -> None:
    """Write rows as tokens.

    Args:
        path: The file, which appears whole or not at all.
        batches: The rows, in the order of the training set.
        made_with: What they follow from; None: nobody is going to ask.
        max_length: Longest row of the set, tokens; noted for who looks into the file.

    Raises:
        TunegateError: The disk is full.
    """
    import pyarrow

    noted = made_with.metadata() | {"max_length": str(max_length)} if made_with else {}
    with (
        atomic_write(path) as file,
        pyarrow.ipc.new_file(file, schema().with_metadata(noted)) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def open_encoded(path: Path, wanted: MadeWith | None = None) -> list["pyarrow.RecordBatch"]:
    """Map a file's rows into memory; what is read of them comes from the disk, and can be dropped again.

    Args:
        path: The file.
        wanted: What they have to follow from; None: anything.

    Raises:
        Unusable: It is not there, damaged, or made with something else.
    """
    import pyarrow

    try:
        reader = pyarrow.ipc.open_file(pyarrow.memory_map(str(path)))
        found = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
        others = [
            _NAMES[key]
            for key, value in (wanted.metadata() if wanted else {}).items()
            if found.get(key) != value
        ]
        if others:
            raise Unusable(f"made with another {' and another '.join(others)}")
        if not reader.schema.equals(schema()):
            raise Unusable("of another form")
        batches = [reader.get_record_batch(number) for number in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise Unusable(f"no whole file of tokens ({str(error).splitlines()[0]})") from error
    return batches
