"""Texts as tokens, many at once, and how many of a text's tokens are those of its prompt."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MOST_TAILS, MOST_ATTEMPTS = 8, 64


@dataclass(frozen=True)
class Tail:
    """The end of prompts from their last control token on, most often all of what opens an answer.

    Attributes:
        control: That token, as text.
        tokens: Those of the tail; the first is that token.
    """

    control: str
    tokens: list[int]

    def end_in(self, tokens: Sequence[int], prompt: str) -> int | None:
        """Return where a prompt with this tail ends among the tokens of a text that goes on from it.

        Nothing melts across a control token, so what stands before it needs no second look. None: the
        answer melts into the tail.
        """
        place = -1
        try:
            for _ in range(prompt.count(self.control)):
                place = tokens.index(self.tokens[0], place + 1)
        except ValueError:
            return None
        end = place + len(self.tokens)
        return end if tokens[place:end] == self.tokens else None


class Tokens:
    """A tokenizer, asked for many texts at once.

    Args:
        tokenizer: Of the base model.
        control: A pattern of its control tokens.
    """

    def __init__(self, tokenizer: Any, control: "re.Pattern[str]") -> None:
        self._tokenizer, self._control = tokenizer, control
        self._tails: dict[str, Tail] = {}
        self._attempts = 0

    def of(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text, without any that the tokenizer would add."""
        if not texts:
            return []
        encoded = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        found: list[list[int]] = encoded["input_ids"]
        return found

    def prompt_ends(self, texts: Sequence[list[int]], prompts: Sequence[str]) -> list[int | None]:
        """Return how many first tokens of each text are its prompt's, as the server tokenises it alone.

        Args:
            texts: The tokens of texts.
            prompts: A beginning of each.

        Returns:
            None where the text does not go on from the prompt's tokens: what follows melts into the last.
        """
        ends = [self._known_end(text, prompt) for text, prompt in zip(texts, prompts, strict=True)]
        open_places = [place for place, end in enumerate(ends) if end is None]
        alone = self.of([prompts[place] for place in open_places])
        for place, tokens in zip(open_places, alone, strict=True):
            if texts[place][: len(tokens)] == tokens:
                ends[place] = len(tokens)
                self._learn_tail(texts[place], prompts[place], len(tokens))
        return ends

    def _known_end(self, text: list[int], prompt: str) -> int | None:
        for ending, tail in self._tails.items():
            if prompt.endswith(ending):
                return tail.end_in(text, prompt)
        return None

    def _learn_tail(self, text: list[int], prompt: str, end: int) -> None:
        """Remember how a prompt ends, if the short cut gives the end that was found without it."""
        if len(self._tails) == MOST_TAILS or self._attempts == MOST_ATTEMPTS:
            return
        self._attempts += 1
        controls = [*self._control.finditer(prompt)]
        if not controls:
            return
        ending = prompt[controls[-1].start() :]
        tail = Tail(controls[-1].group(), self.of([ending])[0])
        known = self._tokenizer.convert_tokens_to_ids(tail.control)
        if tail.tokens and tail.tokens[0] == known and tail.end_in(text, prompt) == end:
            self._tails[ending] = tail
