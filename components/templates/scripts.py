"""The texts that a row is learned from: one with all its answers, or one for each of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.conversations import Conversation
from components.templates.example import LearnTurns, Refused

SHOWN_CHARACTERS = 120


@dataclass(frozen=True)
class Answer:
    """One turn of the assistant, as it comes about where the model is served.

    Attributes:
        turn: Its place among the turns.
        prompt: What the server renders of the turns before it.
        until: The rendering of the conversation up to this turn; it begins with the prompt.
    """

    turn: int
    prompt: str
    until: str

    @property
    def said(self) -> str:
        """What goes on from the prompt."""
        return self.until[len(self.prompt) :]


@dataclass(frozen=True)
class Script:
    """A text to learn from.

    Attributes:
        text: A rendering.
        prompts: The beginnings of it that are each followed by an answer to be learned, in order.
    """

    text: str
    prompts: tuple[str, ...]


def learned_turns(row: Conversation, learn: LearnTurns) -> list[int]:
    """Return the places of the turns that are learned."""
    last = len(row.messages) - 1
    places = range(last if learn == "last" else 0, last + 1)
    return [at for at in places if row.messages[at].role == "assistant" and row.messages[at].learned]


def not_continued(answer: Answer) -> Refused | None:
    """Refuse an answer whose conversation does not go on from its prompt."""
    if answer.until.startswith(answer.prompt):
        return None
    why = (
        "the prompt that the server would send is not the beginning of the conversation, so the model would "
        f"be trained on another text than it is served; prompt ends {answer.prompt[-SHOWN_CHARACTERS:]!r}, "
        f"conversation ends {answer.until[-SHOWN_CHARACTERS:]!r}"
    )
    return Refused("template_refused", why)


def scripts(whole: str, answers: Sequence[Answer], stops: Iterable[str]) -> list[Script]:
    """Lay out one script where the whole conversation holds every answer as it came about, else one each.

    Args:
        whole: The rendering of all turns.
        answers: What is learned.
        stops: The tokens at which generation stops.
    """
    if len(answers) > 1 and all(_holds(whole, answer, stops) for answer in answers):
        return [Script(whole, tuple(answer.prompt for answer in answers))]
    return apart(answers)


def apart(answers: Sequence[Answer]) -> list[Script]:
    """Lay out a script for each answer."""
    return [Script(answer.until, (answer.prompt,)) for answer in answers]


def _holds(whole: str, answer: Answer, stops: Iterable[str]) -> bool:
    if not whole.startswith(answer.until):
        return False
    # With some templates the end of a turn is the first token of the next one.
    return any(stop in answer.said or whole.startswith(stop, len(answer.until)) for stop in stops)
