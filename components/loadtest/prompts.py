"""What the users ask: the eval set's own prompts, and longer ones made of several of them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from components.conversations import Conversation
from components.errors import InvalidInput
from components.loadtest.client import Prompt

MOST_PROMPTS = 500


@dataclass(frozen=True)
class Prompts:
    """Prompts of both kinds of users, in random order.

    Attributes:
        normal: As they stand in the eval set.
        long: The same questions behind a context of other questions.
    """

    normal: list[Prompt]
    long: list[Prompt]


def make_prompts(rows: Sequence[Conversation], long_chars: int, max_chars: int, seed: int) -> Prompts:
    """Make the prompts of a load.

    Args:
        rows: The eval set.
        long_chars: Length of a long prompt; a normal one that is longer already stays as it is.
        max_chars: Longest prompt that the service takes; longer normal prompts are left out, and long
            ones end there.
        seed: Of the order and of the contexts.

    Raises:
        InvalidInput: No prompt is short enough.
    """
    order = random.Random(seed)
    normal = [row.prompt for row in rows if length(row.prompt) <= max_chars]
    if not normal:
        shortest = min((length(row.prompt) for row in rows), default=0)
        raise InvalidInput(
            "eval set",
            [
                f"got {len(rows)} prompts, the shortest of {shortest} characters, wanted some of at most "
                f"{max_chars}, which is what max_model_len has room for; raise max_model_len"
            ],
        )
    order.shuffle(normal)
    normal = normal[:MOST_PROMPTS]
    questions = [prompt[-1]["content"] for prompt in normal]
    wanted = min(long_chars, max_chars)
    return Prompts(normal, [_lengthen(prompt, questions, wanted, order) for prompt in normal])


def length(prompt: Prompt) -> int:
    """Return the characters of a prompt."""
    return sum(len(message["content"]) for message in prompt)


def _lengthen(prompt: Prompt, questions: Sequence[str], wanted: int, order: random.Random) -> Prompt:
    """Put random questions before the last turn until the prompt has `wanted` characters."""
    *before, last = prompt
    missing = wanted - length(prompt)
    if missing <= 2:
        return prompt
    context = ""
    while len(context) < missing:
        context += order.choice(questions) + "\n\n"
    return [*before, {**last, "content": context[: missing - 2].rstrip() + "\n\n" + last["content"]}]
