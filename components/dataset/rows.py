"""The forms a row may have, and what can be wrong with one."""

from typing import Literal, get_args

from components.conversations import Conversation, Message

Kind = Literal[
    "not_json",
    "not_csv",
    "not_an_object",
    "no_known_form",
    "missing_field",
    "wrong_type",
    "not_text",
    "wrong_turns",
    "empty_prompt",
    "empty_answer",
    "control_token",
    "template_refused",
    "too_long",
    "leaks_eval",
    "duplicate",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
FORMS = (
    "instruction with output (input and system optional), messages, prompt with completion, or conversations"
)
ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
EXCERPT_CHARACTERS = 40


class RowFlaw(Exception):
    """Why one row can't be used.

    Args:
        kind: One word of `KINDS`.
        why: What stands there and what was wanted, for a person.
    """

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind, self.why = kind, why


def to_conversation(value: object) -> Conversation:
    """Turn a row of any known form into a conversation; white space around each turn is stripped.

    `instruction` and `input` become one user's turn, the input in a paragraph of its own.

    Raises:
        RowFlaw: The row can't be used.
    """
    if not isinstance(value, dict):
        raise RowFlaw("not_an_object", f"is {_describe(value)}; wanted an object with {FORMS}")
    if "messages" in value:
        turns = _turns(value["messages"], "messages")
    elif "conversations" in value:
        turns = _turns(value["conversations"], "conversations")
    elif "instruction" in value or "output" in value:
        question = [_text(value, "instruction"), _text(value, "input", optional=True)]
        turns = _question_and_answer(value, "\n\n".join(filter(None, question)), _text(value, "output"))
    elif "prompt" in value or "completion" in value:
        turns = _prompt_and_completion(value)
    else:
        found = ", ".join(map(str, value)) or "no field at all"
        raise RowFlaw("no_known_form", f"has {_short(found)}; wanted {FORMS}")
    return _in_turn([turn for turn in turns if turn.content or turn.role != "system"])


def _prompt_and_completion(row: dict[str, object]) -> list[Message]:
    """Read prompt and completion: two texts, or two lists of messages."""
    prompt, completion = row.get("prompt"), row.get("completion")
    if isinstance(prompt, list) and isinstance(completion, list):
        return _turns(prompt, "prompt") + _turns(completion, "completion")
    return _question_and_answer(row, _text(row, "prompt"), _text(row, "completion"))


def _question_and_answer(row: dict[str, object], question: str, answer: str) -> list[Message]:
    return [
        Message(role="system", content=_text(row, "system", optional=True)),
        Message(role="user", content=question),
        Message(role="assistant", content=answer),
    ]


def _turns(value: object, field: str) -> list[Message]:
    if value is None:
        raise RowFlaw("missing_field", f"{field}: missing; wanted a list of turns")
    if not isinstance(value, list):
        raise RowFlaw("wrong_type", f"{field}: got {_describe(value)}, wanted a list of turns")
    turns = []
    for number, turn in enumerate(value, start=1):
        place = f"{field}, turn {number}"
        if not isinstance(turn, dict):
            raise RowFlaw("wrong_type", f"{place}: got {_describe(turn)}, wanted an object")
        role_field, text_field = ("from", "value") if "from" in turn else ("role", "content")
        role = _text(turn, role_field, place)
        if role not in ROLES:
            known = ", ".join(ROLES)
            raise RowFlaw("wrong_turns", f"{place}: {role_field} is {_short(role)!r}, wanted one of {known}")
        turns.append(Message(role=ROLES[role], content=_text(turn, text_field, place)))
    return turns


def _in_turn(turns: list[Message]) -> Conversation:
    """Accept a system's turn (or none), then user and assistant by turns, the assistant last."""
    spoken = [turn for turn in turns if turn.role != "system"]
    roles = [turn.role for turn in spoken]
    wanted = ["user", "assistant"] * (len(spoken) // 2)
    if not roles or roles != wanted or any(turn.role == "system" for turn in turns[1:]):
        got = ", ".join(turn.role for turn in turns) or "none"
        raise RowFlaw("wrong_turns", f"turns are {_short(got)}; wanted user, assistant (a system's may lead)")
    for turn in spoken:
        if not turn.content and turn.role == "user":
            raise RowFlaw("empty_prompt", "the prompt is empty; wanted a question or a task")
        if not turn.content:
            raise RowFlaw("empty_answer", "the answer is empty; wanted what the model should say")
    return Conversation(messages=tuple(turns))


def _text(row: dict[str, object], field: str, place: str = "", optional: bool = False) -> str:
    value = row.get(field)
    label = f"{place}: {field}" if place else field
    if value is None:
        if optional:
            return ""
        raise RowFlaw("missing_field", f"{label}: missing; wanted a text")
    if not isinstance(value, str):
        raise RowFlaw("wrong_type", f"{label}: got {_describe(value)}, wanted a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        raise RowFlaw("not_text", f"{label}: \\u{code:04x} is half a character; write it anew") from error
    return value.strip()


def _describe(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    name = names.get(type(value), "null" if value is None else "an object")
    return f"{name} ({_short(str(value))})" if isinstance(value, str | int | float) else name


def _short(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= EXCERPT_CHARACTERS else text[: EXCERPT_CHARACTERS - 3] + "..."
