"""What the model is trained on: tokens, and which of them are learned; or why a row can't be."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

LearnTurns = Literal["all", "last"]


@dataclass(frozen=True)
class Example:
    """One sequence.

    Attributes:
        tokens: Prompt and answers; the last one ends the assistant's turn.
        learned: First and behind-last place of each answer, its end of turn included, in order.
    """

    tokens: Sequence[int]
    learned: tuple[tuple[int, int], ...]

    @property
    def learned_count(self) -> int:
        """How many tokens are learned."""
        return sum(end - start for start, end in self.learned)

    @property
    def first_learned(self) -> int:
        """Where the first answer begins: what stands before it is prompt."""
        return self.learned[0][0]

    def learned_places(self) -> Iterator[int]:
        """Yield the places of the tokens that are learned."""
        for start, end in self.learned:
            yield from range(start, end)


class Measured(NamedTuple):
    """A row as it is learned, and its length.

    Attributes:
        tokens: Of the longest that the model sees of it, in training or in the evaluation.
        examples: What is learned of it; none where nothing is.
    """

    tokens: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Refused:
    """Why a row can't be put through the chat template.

    Attributes:
        kind: What is wrong, in one word.
        why: What stands there and what was wanted, for a person; goes on from "the row".
    """

    kind: Literal["control_token", "template_refused"]
    why: str
