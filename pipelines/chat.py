"""Ask a served model from the terminal."""

import re
import sys
from typing import Any, cast

from components.errors import TunegateError
from components.web import parse_address

# What would move the cursor, colour the terminal or rename its window, if a model wrote it.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def converse(endpoint: str, model_name: str, question: str | None) -> None:
    """Stream the answer to one question, or hold a conversation until an empty line.

    Args:
        endpoint: Base URL of the service, without `/v1`.
        model_name: The model to ask.
        question: One question; None: read them from the terminal.

    Raises:
        TunegateError: The service does not answer.
    """
    endpoint = str(parse_address(endpoint))
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
    from openai import AuthenticationError, DefaultHttpxClient, OpenAI, OpenAIError

    from components.engine.api_keys import KEY_VARIABLE, client_key

    # The key and the question are for this host: neither a redirect nor a proxy gets them.
    direct = DefaultHttpxClient(follow_redirects=False, trust_env=False)
    client = OpenAI(
        base_url=f"{endpoint}/v1", api_key=client_key() or "none", max_retries=1, http_client=direct
    )
    parts: list[str] = []
    try:
        # Any: plain dicts are what the API takes, though not what its types say.
        chunks: Any = client.chat.completions.create(
            model=model_name, messages=cast("Any", messages), temperature=0, stream=True
        )
        for chunk in chunks:
            parts.append(_CONTROLS.sub("", (chunk.choices[0].delta.content or "") if chunk.choices else ""))
            sys.stdout.write(parts[-1])
            sys.stdout.flush()
        if not parts:
            raise ValueError("no part of one came")
    except AuthenticationError as error:
        raise TunegateError(
            f"{endpoint} asks for a key that it knows; set {KEY_VARIABLE} to yours"
        ) from error
    except OpenAIError as error:
        raise TunegateError(f"{endpoint} did not answer ({error}); see `tunegate status`") from error
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        problem = f"gave an answer that is no chat completion's ({error})"
        raise TunegateError(f"{endpoint} {problem}; see `tunegate status`") from error
    print()
    return "".join(parts)
