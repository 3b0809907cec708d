"""The base model's tokenizer with its chat template: rows as the model sees them, and what is learned."""

import re
from array import array
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path

from components.conversations import Conversation
from components.templates.example import Example, LearnTurns, Measured, Refused
from components.templates.left_out import missing_answer, missing_text, missing_tools, texts
from components.templates.loading import control_tokens, load_tokenizer, stop_tokens, tokenizer_digest
from components.templates.rendering import Renderer, as_served
from components.templates.scripts import Answer, Script, apart, learned_turns, not_continued, scripts
from components.templates.tokens import Tokens
from components.templates.work import MOST_WORK, has_calls, work_batches

HALF_CHARACTER = re.compile("[\ud800-\udfff]")
Choice = Callable[[Conversation], list[int]]


class ChatTokenizer:
    """The base model's tokenizer with its chat template.

    What is held on to is what is served: for each answer the prompt exactly as the server renders and
    tokenises it, then the answer, then the token at which the server stops.

    Args:
        path: Directory of the base model.

    Raises:
        InvalidInput: The tokenizer can't be loaded or has no chat template.
    """

    def __init__(self, path: Path) -> None:
        self._tokenizer = load_tokenizer(path)
        self._stops = stop_tokens(self._tokenizer, path)
        self._stop_names = self._tokenizer.convert_ids_to_tokens(sorted(self._stops))
        self._control = control_tokens(self._tokenizer, self._stops)
        self._renderer = Renderer(self._tokenizer)
        self._tokens = Tokens(self._tokenizer, self._control)

    @cached_property
    def digest(self) -> str:
        """A digest of all that the tokens of a row follow from, `sha256:...`."""
        return tokenizer_digest(self._tokenizer, self._stops, self._control)

    def encode(
        self, rows: Sequence[Conversation], learn: LearnTurns = "all"
    ) -> list[tuple[Example, ...] | Refused]:
        """Turn rows into examples, or say why one can't be.

        Args:
            rows: Any number.
            learn: Whether all turns of the assistant are learned, or the last alone. A turn that is marked
                as not to be learned never is.

        Returns:
            For each row one example with all its answers, where the rendering of the whole conversation
            continues the prompt of each; else an example for each answer. None where nothing is learned.
        """
        return self._encode(rows, lambda row: learned_turns(row, learn))

    def measure(self, rows: Sequence[Conversation], learn: LearnTurns = "all") -> list[Measured | Refused]:
        """Turn rows into examples and count their tokens, or say why the template refuses one.

        Where a row becomes several examples the longest counts. The last turn counts even where it is
        not to be learned: it is asked for in the evaluation.
        """
        found = self._encode(rows, lambda row: sorted({*learned_turns(row, learn), len(row.messages) - 1}))
        places = [place for place, row in enumerate(rows) if not row.messages[-1].learned]
        learned = dict(zip(places, self.encode([rows[place] for place in places], learn), strict=True))
        return [_measured(row, learned.get(place, row)) for place, row in enumerate(found)]

    def marked(self, row: Conversation, learn: LearnTurns = "all") -> list[tuple[str, bool]]:
        """Return a row as the model sees it: pieces of text, and whether each is learned.

        Control tokens show. Of a row that becomes several examples, each follows in turn; of one that
        is refused, or of which nothing is learned, there is nothing.
        """
        (found,) = self.encode([row], learn)
        pieces: list[tuple[str, bool]] = []
        for example in () if isinstance(found, Refused) else found:
            place = 0
            for start, end in example.learned:
                pieces += [
                    (self._text(example, place, start), False),
                    (self._text(example, start, end), True),
                ]
                place = end
        return pieces

    def reference(self, row: Conversation) -> str:
        """Return the last turn as the engine would write it: what is rendered, without control tokens.

        Reasoning is no part of it.
        """
        last = row.messages[-1].model_copy(update={"learned": True, "reasoning": ""})
        (found,) = self.encode([row.model_copy(update={"messages": (*row.messages[:-1], last)})], "last")
        if isinstance(found, Refused):
            return row.completion
        start, end = found[0].learned[0]
        return str(self._tokenizer.decode(list(found[0].tokens[start:end]), skip_special_tokens=True)).strip()

    def _text(self, example: Example, start: int, end: int) -> str:
        return str(self._tokenizer.decode(list(example.tokens[start:end])))

    def _encode(self, rows: Sequence[Conversation], choose: Choice) -> list[tuple[Example, ...] | Refused]:
        found: list[tuple[Example, ...] | Refused] = []
        for batch, work in work_batches(rows):
            found += self._encode_batch(batch, work, choose)
        return found

    def _encode_batch(
        self, rows: Sequence[Conversation], work: Sequence[int], choose: Choice
    ) -> list[tuple[Example, ...] | Refused]:
        found: list[tuple[Example, ...] | Refused] = [
            self._unfit(row, size) or () for row, size in zip(rows, work, strict=True)
        ]
        open_places = [place for place, row in enumerate(found) if not isinstance(row, Refused)]
        answered = self._answers([rows[place] for place in open_places], choose)
        laid_out: list[tuple[int, Script]] = []
        answers_of: dict[int, list[Answer]] = {}
        for place, row in zip(open_places, answered, strict=True):
            if isinstance(row, Refused):
                found[place] = row
                continue
            whole, answers_of[place] = row
            laid_out += [(place, script) for script in scripts(whole, answers_of[place], self._stop_names)]
        again: list[tuple[int, Script]] = []
        for (place, _), example in zip(laid_out, self._examples([s for _, s in laid_out]), strict=True):
            if example is None:
                again += [(place, script) for script in apart(answers_of[place])]
            else:
                found[place] = _with(found[place], example)
        for (place, _), example in zip(again, self._examples([s for _, s in again]), strict=True):
            if example is not None:
                found[place] = _with(found[place], example)
        return found

    def _unfit(self, row: Conversation, work: int) -> Refused | None:
        if work > MOST_WORK:
            why = f"has {len(row.messages)} turns and too much text to look at each of them; split it"
            return Refused("template_refused", why)
        for text in texts(row):
            if not text.isascii() and HALF_CHARACTER.search(text):
                return Refused("template_refused", "has half a character in its text; write it anew")
            # Inside a turn such a token would end it, or begin another one in somebody else's name.
            if control := self._control.search(text):
                why = f"has the chat template's own token {control.group()} in its text"
                return Refused("control_token", why)
        return None

    def _answers(
        self, rows: Sequence[Conversation], choose: Choice
    ) -> list[tuple[str, list[Answer]] | Refused]:
        """Render each row, and for each turn that is learned its prompt and the conversation up to it."""
        turns, tools = [row.turns() for row in rows], [as_served(row.tools) for row in rows]
        learned = [(place, turn) for place, row in enumerate(rows) for turn in choose(row)]
        earlier = [(place, turn) for place, turn in learned if turn < len(turns[place]) - 1]
        render = self._renderer.render_all
        wholes = render(turns, tools)
        prompts = render(
            [turns[place][:turn] for place, turn in learned],
            [tools[place] for place, _ in learned],
            asks=True,
        )
        untils = render(
            [turns[place][: turn + 1] for place, turn in earlier], [tools[place] for place, _ in earlier]
        )
        until_of = dict(zip(earlier, untils, strict=True))
        found: list[tuple[str, list[Answer]] | Refused] = [
            whole if isinstance(whole, Refused) else (whole, []) for whole in wholes
        ]
        for (place, turn), prompt in zip(learned, prompts, strict=True):
            row = found[place]
            if isinstance(row, Refused):
                continue
            until = until_of.get((place, turn), row[0])
            if isinstance(prompt, Refused):
                found[place] = prompt
            elif isinstance(until, Refused):
                found[place] = until
            else:
                row[1].append(Answer(turn, prompt, until))
        return [
            row if isinstance(row, Refused) else self._left_out(rows[place], *row) or row
            for place, row in enumerate(found)
        ]

    def _left_out(self, row: Conversation, whole: str, answers: Sequence[Answer]) -> Refused | None:
        for answer in answers:
            if refused := not_continued(answer):
                return refused
        why = (
            (missing_tools(row, whole, self._renderer) if row.tools or has_calls(row) else "")
            or missing_text(row, whole)
            or next(
                filter(None, (missing_answer(row.messages[a.turn], a.turn + 1, a.said) for a in answers)), ""
            )
        )
        return Refused("template_refused", why) if why else None

    def _examples(self, laid_out: Sequence[Script]) -> list[Example | Refused | None]:
        """Tokenise scripts; None for one with several answers that melt into their prompts."""
        tokenised = self._tokens.of([script.text for script in laid_out])
        pairs = [(place, prompt) for place, script in enumerate(laid_out) for prompt in script.prompts]
        ends = self._tokens.prompt_ends(
            [tokenised[place] for place, _ in pairs], [prompt for _, prompt in pairs]
        )
        starts: list[list[int | None]] = [[] for _ in laid_out]
        for (place, _), end in zip(pairs, ends, strict=True):
            starts[place].append(end)
        return [
            self._example(script, tokens, begin)
            for script, tokens, begin in zip(laid_out, tokenised, starts, strict=True)
        ]

    def _example(
        self, script: Script, tokens: list[int], starts: Sequence[int | None]
    ) -> Example | Refused | None:
        known = [start for start in starts if start is not None]
        if len(known) < len(starts):
            if len(starts) > 1:
                return None
            # The answer's first characters melt into the prompt's last token. The server tokenises the
            # prompt alone, so the model must learn to go on from there.
            prompt, rest = self._tokens.of([script.prompts[0], script.text[len(script.prompts[0]) :]])
            tokens, known = prompt + rest, [len(prompt)]
        learned: list[tuple[int, int]] = []
        for start in known:
            # What the template writes after the end of the turn is never generated, so it isn't learned.
            last = _first_of(self._stops, tokens, start)
            if last is None:
                names = ", ".join(self._stop_names)
                why = f"it ends an answer with no end-of-turn token ({names}), so the model would never stop"
                return Refused("template_refused", f"{why}; take the base model's chat variant")
            learned.append((start, last + 1))
        return Example(array("i", tokens[: learned[-1][1]]), tuple(learned))


def _first_of(wanted: Collection[int], tokens: list[int], start: int) -> int | None:
    """Return the first place from `start` on where one of some tokens stands."""
    rest = tokens[start:]
    return min((start + rest.index(token) for token in wanted if token in rest), default=None)


def _measured(
    found: tuple[Example, ...] | Refused, learned: tuple[Example, ...] | Refused
) -> Measured | Refused:
    if isinstance(found, Refused):
        return found
    tokens = max(len(example.tokens) for example in found)
    return learned if isinstance(learned, Refused) else Measured(tokens, learned)


def _with(found: tuple[Example, ...] | Refused, example: Example | Refused) -> tuple[Example, ...] | Refused:
    """Add an example to a row's; where one is refused, the row is."""
    if isinstance(found, Refused):
        return found
    return example if isinstance(example, Refused) else (*found, example)
