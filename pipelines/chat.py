"""Ask a served model from the terminal."""

import sys
from typing import Any, cast

from components.errors import TunegateError


def converse(endpoint: str, model_name: str, question: str | None) -> None:
    """Stream the answer to one question, or hold a conversation until an empty line.

    Args:
        endpoint: Base URL of the service, without `/v1`.
        model_name: The model to ask.
        question: One question; None: read them from the terminal.

    Raises:
        TunegateError: The service does not answer.
    """
    messages: list[dict[str, str]] = []
    while text := question or _ask():
        messages.append({"role": "user", "content": text})
        messages.append({"role": "assistant", "content": _stream(endpoint, model_name, messages)})
        if question:
            return


def _ask() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""


def _stream(endpoint: str, model_name: str, messages: list[dict[str, str]]) -> str:
    from openai import AuthenticationError, OpenAI, OpenAIError

    from components.engine.api_keys import KEY_VARIABLE, client_key

    client = OpenAI(base_url=f"{endpoint}/v1", api_key=client_key() or "none", max_retries=1)
    parts: list[str] = []
    try:
        # Any: plain dicts are what the API takes, though not what its types say.
        chunks: Any = client.chat.completions.create(
            model=model_name, messages=cast("Any", messages), temperature=0, stream=True
        )
        for chunk in chunks:
            parts.append((chunk.choices[0].delta.content or "") if chunk.choices else "")
            sys.stdout.write(parts[-1])
            sys.stdout.flush()
    except AuthenticationError as error:
        raise TunegateError(
            f"{endpoint} asks for a key that it knows; set {KEY_VARIABLE} to yours"
        ) from error
    except OpenAIError as error:
        raise TunegateError(f"{endpoint} did not answer ({error}); see `tunegate status`") from error
    print()
    return "".join(parts)
