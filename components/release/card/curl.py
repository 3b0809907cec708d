"""The command line that asks a model which was released."""

import json
import shlex
from collections.abc import Sequence

from components.engine.api_keys import KEY_VARIABLE, models_want_keys
from components.release.card.facts import Example
from components.web import parse_address

QUESTION_CHARACTERS = 120


def curl_command(endpoint: str, model_name: str, examples: Sequence[Example]) -> str:
    """Return a command that asks the model the held-out question on which it gained most.

    Args:
        endpoint: Base URL of the service, without `/v1`.
        model_name: The name that clients ask for.
        examples: What the evaluation kept; a long question is not one to type.
    """
    best = max(examples, key=lambda example: example.gain, default=None)
    question = best.prompt if best else ""
    if not question or "\n" in question or len(question) > QUESTION_CHARACTERS:
        question = "What can you help me with?"
    body = json.dumps(
        {"model": model_name, "messages": [{"role": "user", "content": question}]}, ensure_ascii=False
    )
    # The variable, never its value: this is printed, and kept on the card.
    key = f'  -H "Authorization: Bearer ${KEY_VARIABLE}" \\\n' if models_want_keys() else ""
    return (
        f"curl -s {shlex.quote(f'{parse_address(endpoint)}/v1/chat/completions')} \\\n"
        f"  -H 'Content-Type: application/json' \\\n{key}  -d {shlex.quote(body)}"
    )
