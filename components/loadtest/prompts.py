"""What the users ask: the eval set's own prompts, and longer ones made of several of them."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from components.conversations import Conversation, Prompt
from components.errors import InvalidInput

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
    asked = [(row.request, length(row.request)) for row in rows]
    normal = [prompt for prompt, characters in asked if characters <= max_chars]
    if not normal:
        shortest = min((characters for _, characters in asked), default=0)
        raise InvalidInput(
            "eval set",
            [
                f"got {len(rows)} prompts, the shortest of {shortest} characters, wanted some of at most "
                f"{max_chars}, which is what max_model_len has room for; raise max_model_len"
            ],
        )
    order.shuffle(normal)
    normal = normal[:MOST_PROMPTS]
    questions = [question(prompt) for prompt in normal]
    wanted = min(long_chars, max_chars)
    return Prompts(normal, [_lengthen(prompt, questions, wanted, order) for prompt in normal])


def length(prompt: Prompt) -> int:
    """Return the characters of a prompt, calls and descriptions of tools included."""
    texts = sum(len(message.content) + len(message.reasoning) for message in prompt.messages)
    calls = [call.model_dump() for message in prompt.messages for call in message.tool_calls]
    return texts + sum(len(json.dumps(item, ensure_ascii=False)) for item in (*calls, *prompt.tools))


def with_question(prompt: Prompt, content: str) -> Prompt:
    """Return the prompt with another text in the user's last turn."""
    messages, place = list(prompt.messages), _question(prompt)
    messages[place] = messages[place].model_copy(update={"content": content})
    return prompt.model_copy(update={"messages": tuple(messages)})


def question(prompt: Prompt) -> str:
    """Return what the user said last."""
    return prompt.messages[_question(prompt)].content


def _question(prompt: Prompt) -> int:
    places = [place for place, message in enumerate(prompt.messages) if message.role == "user"]
    return places[-1] if places else len(prompt.messages) - 1


def _lengthen(prompt: Prompt, questions: Sequence[str], wanted: int, order: random.Random) -> Prompt:
    """Put random questions before the user's last one until the prompt has `wanted` characters."""
    missing = wanted - length(prompt)
    if missing <= 2:
        return prompt
    context = ""
    while len(context) < missing:
        context += order.choice(questions) + "\n\n"
    return with_question(prompt, context[: missing - 2].rstrip() + "\n\n" + question(prompt))
