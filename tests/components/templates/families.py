"""Chat templates in the manner of several families of models, and models that have them."""

from pathlib import Path

# ChatML with a list of tools in the system's turn, calls and what they gave back in tags, reasoning in each.
CHATML_TOOLS = (
    "{% if tools %}<|system|>Tools:{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}<|end|>\n"
    "{% endif %}"
    "{% for m in messages %}"
    "{% if m['role'] == 'tool' %}<|user|><result>{{ m['content'] }}</result><|end|>\n"
    "{% elif m['role'] == 'assistant' %}<|assistant|>"
    "{% if m['reasoning_content'] %}<think>{{ m['reasoning_content'] }}</think>{% endif %}{{ m['content'] }}"
    "{% for call in m['tool_calls'] or [] %}<call>{\"name\": {{ call['function']['name'] | tojson }}, "
    "\"arguments\": {{ call['function']['arguments'] | tojson }}}</call>{% endfor %}<|end|>\n"
    "{% else %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

# A header to each turn; calls are JSON with parameters, results are JSON texts, one call a turn.
HEADERS_TOOLS = (
    "{% if tools %}<|system|>\n\n{% for tool in tools %}{{ tool | tojson(indent=2) }}\n{% endfor %}<|end|>"
    "{% endif %}{% for m in messages %}"
    "{% if m['tool_calls'] %}{% if m['tool_calls'] | length > 1 %}{{ raise_exception('one call at once') }}"
    "{% endif %}{% set f = m['tool_calls'][0]['function'] %}<|assistant|>\n\n"
    '{"name": "{{ f[\'name\'] }}", "parameters": {{ f[\'arguments\'] | tojson }}}<|end|>'
    "{% elif m['role'] == 'tool' %}<|user|>\n\n{{ m['content'] | tojson }}<|end|>"
    "{% else %}<|{{ m['role'] }}|>\n\n{{ m['content'] | trim }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n\n{% endif %}"
)

# Nothing but turns, as the tiny model has it.
PLAIN = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

# Thinks aloud, and forgets what it thought as soon as somebody asks again.
FORGETS_REASONING = (
    "{% for m in messages %}<|{{ m['role'] }}|>"
    "{% if m['reasoning_content'] and loop.last %}<think>{{ m['reasoning_content'] }}</think>{% endif %}"
    "{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

# Ends a turn with the first token of the next one.
NEXT_TURN_ENDS = (
    "{% for m in messages %}{{ '<|end|>' if m['role'] == 'user' else '<|assistant|>' }}{{ m['content'] }}"
    "{% endfor %}{{ '<|assistant|>' if add_generation_prompt else '<|end|>' }}"
)

# Marks turns with words, which are no tokens of their own: an answer may melt into what opens it.
WORDS = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def with_template(model: Path, template: str, target: Path) -> Path:
    """Save the tokenizer of a model with another template; no weights."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model))
    tokenizer.chat_template = template
    tokenizer.save_pretrained(target)
    return target
