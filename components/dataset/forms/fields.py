"""What each field of a row is, by its name or because `columns` says so."""

from dataclasses import dataclass
from functools import lru_cache

from components.dataset.forms.columns import Columns, Meaning

PLANS_KEPT = 1024  # a file has a few sets of fields; a stranger's may have one a row
MOST_FIELDS_KEPT = 100
FORMS = (
    "messages (or conversations); instruction, prompt, question or query with output, completion, answer or "
    "response (input or context, system, history and tools optional); or input with output"
)
KNOWN: dict[str, Meaning] = {
    "messages": "messages",
    "conversations": "messages",
    "conversation": "messages",
    "instruction": "prompt",
    "prompt": "prompt",
    "question": "prompt",
    "query": "prompt",
    "output": "completion",
    "completion": "completion",
    "answer": "completion",
    "response": "completion",
    "input": "context",
    "context": "context",
    "system": "system",
    "system_prompt": "system",
    "history": "history",
    "tools": "tools",
    "functions": "tools",
    "reasoning_content": "reasoning",
    "reasoning": "reasoning",
    "thinking": "reasoning",
    "label": "label",
    "kto_tag": "label",
    "chosen": "chosen",
    "rejected": "rejected",
    "rejected_response": "rejected",
}
MEDIA = frozenset(
    {"image", "images", "audio", "audios", "video", "videos", "image_url", "input_audio", "input_image"}
)
# What a question may not be answered without, by names that may mean something else, too.
NEEDED = frozenset(
    {"passage", "paragraph", "document", "documents", "article", "story", "choices", "options"}
)


@dataclass(frozen=True)
class Fields:
    """A row's fields by what they are; those without a value are not among them.

    Attributes:
        messages: Lists of turns.
        prompts: What is asked.
        contexts: What belongs to the question, in a paragraph of its own.
        completions: What is answered.
        systems: What a system's turn says.
        histories: Earlier questions and answers.
        tools: The tools that may be called.
        reasonings: What is thought before the answer.
        labels: Whether the answer is wanted, by names that may mean something else, too.
        wanted: Whether the answer is wanted, as `columns` said.
        chosen: The preferred answer.
        rejected: The other one.
        media: Images, sounds, videos.
        needed: What the question may need, by names that may mean something else, too.
        unused: What has no meaning for training.
        plain: Whether there is just a list of turns, or a prompt, an answer and perhaps a context.
    """

    messages: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()
    completions: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    reasonings: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    chosen: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    plain: bool = False

    @property
    def known(self) -> bool:
        """Whether there is anything that could be asked or answered."""
        return bool(self.messages or self.prompts or self.completions or self.chosen)


def fields_of(names: tuple[str, ...], columns: Columns) -> Fields:
    """Tell what fields are; one that `columns` names takes the place of all others of its meaning."""
    if len(names) > MOST_FIELDS_KEPT:
        return _fields_of(names, columns)
    return _kept_fields_of(names, columns)


def _fields_of(names: tuple[str, ...], columns: Columns) -> Fields:
    given = {meaning for meaning, _ in columns.named}
    found: dict[str, list[str]] = {}
    for name in names:
        meaning: str | None = columns.meaning_of(name)
        if meaning is None:
            word = name.strip().lower() if len(name) < 40 else ""
            known = KNOWN.get(word)
            meaning = "unused" if _ruled_out(known, given) else known
            # `columns` names another context: this one is still asked, or stands in that one's way.
            meaning = "context" if word == "input" and {"prompt", "messages"}.isdisjoint(given) else meaning
            meaning = "media" if word in MEDIA else "needed" if word in NEEDED else meaning
        elif meaning == "label":
            meaning = "wanted"
        found.setdefault(meaning or "unused", []).append(name)
    contexts = found.get("context", [])
    if not found.get("prompt") and "prompt" not in given:
        # What is called input is the question where nothing else is.
        found["prompt"] = [name for name in contexts if name.strip().lower() == "input"]
        found["context"] = [name for name in contexts if name not in found["prompt"]]
    by_field = {
        "messages": "messages",
        "prompts": "prompt",
        "contexts": "context",
        "completions": "completion",
        "systems": "system",
        "histories": "history",
        "tools": "tools",
        "reasonings": "reasoning",
        "labels": "label",
        "wanted": "wanted",
        "chosen": "chosen",
        "rejected": "rejected",
        "media": "media",
        "needed": "needed",
        "unused": "unused",
    }
    sorted_names = {field: tuple(found.get(meaning, ())) for field, meaning in by_field.items()}
    counts = {field: len(own) for field, own in sorted_names.items() if own and field != "unused"}
    pair = {"prompts": 1, "completions": 1}
    plain = counts in ({"messages": 1}, pair, {**pair, "contexts": 1})
    return Fields(**sorted_names, plain=plain)


_kept_fields_of = lru_cache(maxsize=PLANS_KEPT)(_fields_of)


def _ruled_out(known: Meaning | None, given: set[Meaning]) -> bool:
    """Tell whether `columns` leaves no room for what a field would be by its name."""
    if known is None or known in given:
        return True
    if known == "messages":
        return bool(given & {"prompt", "completion"})
    return "messages" in given and known in ("prompt", "context", "completion", "history")
