"""Rendering by the chat template, many conversations at once, as the server renders them."""

from collections.abc import Sequence
from typing import Any

from components.templates.example import Refused

SHOWN_CHARACTERS = 200
Turns = list[dict[str, Any]]


def as_served(tools: Sequence[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return tools as vLLM's API hands them to the chat template; None for no tools.

    It knows four fields of a function, puts null for a description or parameters that are not there,
    and an order of its own: templates that write a tool as it stands show all that.
    """
    return [_tool(tool) for tool in tools] or None


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    named = {key: function.get(key) for key in ("name", "description", "parameters")}
    strict = {} if function.get("strict") is None else {"strict": function["strict"]}
    return {"type": "function", "function": named | strict}


class Renderer:
    """The chat template of a tokenizer.

    Args:
        tokenizer: It has a chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def render(
        self, turns: Turns, tools: list[dict[str, Any]] | None = None, asks: bool = False
    ) -> str | Refused:
        """Render one conversation, up to where the assistant begins to speak if it `asks`."""
        try:
            return str(self._apply(turns, tools, asks))
        # A template is a program: transformers keeps it in a sandbox, but it may add a text to a number.
        except Exception as error:
            why = str(error)[:SHOWN_CHARACTERS] or type(error).__name__
            return Refused("template_refused", f"the base model's chat template refuses it: {why}")

    def render_all(
        self, rows: Sequence[Turns], tools: Sequence[list[dict[str, Any]] | None], asks: bool = False
    ) -> list[str | Refused]:
        """Render many; rows without tools together, which costs less."""
        rendered: list[str | Refused | None] = [None] * len(rows)
        plain = [place for place, own in enumerate(tools) if own is None]
        if plain:
            try:
                texts = self._apply([rows[place] for place in plain], None, asks)
            except Exception:  # one of them is refused: which one, and why, shows one by one
                pass
            else:
                for place, text in zip(plain, texts, strict=True):
                    rendered[place] = text
        return [
            self.render(rows[place], tools[place], asks) if text is None else text
            for place, text in enumerate(rendered)
        ]

    def _apply(self, turns: Any, tools: list[dict[str, Any]] | None, asks: bool) -> Any:
        return self._tokenizer.apply_chat_template(
            turns, tools=tools, tokenize=False, add_generation_prompt=asks
        )
