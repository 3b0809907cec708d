"""A file of pet-store rows of which one in five is flawed, in every way that JSON lines can be."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from components.dataset.rows import Kind

SOUND_ROWS = 160
TOO_LONG_REPEATS = 400
CONTRADICTING_PAIRS = 2

Row = dict[str, str]
Break = Callable[[Row], str]


def make_flawed(train: list[Row], held_out: list[Row], random: Random) -> tuple[list[str], dict[str, Any]]:
    """Mix flawed rows into sound ones.

    Args:
        train: Sound rows to take and to break.
        held_out: Rows whose prompts leak.
        random: Draws the places.

    Returns:
        The lines of the file, and what a validator must say of it, given `held_out` as the held-out set:
        `quarantined` maps a line's number to the kind of its flaw, `contradicting` lists accepted lines.
    """
    rows = random.sample(train, len(train))
    sound, spare = rows[:SOUND_ROWS], iter(rows[SOUND_ROWS:])
    lines: list[tuple[str, Kind | None]] = [(_in_some_form(row, n), None) for n, row in enumerate(sound)]
    for kind, breaks in BREAKS.items():
        lines.extend((break_row(next(spare)), kind) for break_row in breaks)
    lines.extend(
        (_dump({**row, "instruction": f"  {row['instruction'].upper()} "}), "leaks_eval")
        for row in held_out[:4]
    )
    random.shuffle(lines)
    contradicting, others = sound[:CONTRADICTING_PAIRS], sound[CONTRADICTING_PAIRS:]
    # A repeated row is flawed only below the one that it repeats, so it goes to the end.
    lines.extend((_dump(row), "duplicate") for row in random.sample(others, 6))
    lines.extend((_dump({**row, "output": "Ask somebody else."}), None) for row in contradicting)
    texts = [text for text, _ in lines]
    return texts, {
        "quarantined": {str(number): kind for number, (_, kind) in enumerate(lines, start=1) if kind},
        "contradicting": sorted(
            number
            for number, text in enumerate(texts, start=1)
            if any(_dump_text(row["instruction"]) in text for row in contradicting)
        ),
    }


def _in_some_form(row: Row, number: int) -> str:
    """Write one sound row in ten in another form than the rest."""
    question, answer = row["instruction"], row["output"]
    forms: dict[int, Any] = {
        3: {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]},
        5: {"prompt": question, "completion": answer},
        7: {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]},
    }
    return _dump(forms.get(number % 30, row))


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _dump_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _half_a_character(row: Row) -> str:
    return json.dumps({**row, "output": row["output"] + "\ud83d"})


def _messages(*turns: tuple[str, str]) -> str:
    return _dump({"messages": [{"role": role, "content": text} for role, text in turns]})


BREAKS: dict[Kind, tuple[Break, ...]] = {
    "not_json": (
        lambda row: _dump(row)[:-12],
        lambda row: f"{row['instruction']}\t{row['output']}",
        lambda row: str(row),
        lambda row: _dump(row) + ",",
    ),
    "not_an_object": (
        lambda row: _dump([row["instruction"], row["output"]]),
        lambda row: _dump(row["instruction"]),
        lambda row: "null",
    ),
    "no_known_form": (
        lambda row: _dump({"heading": row["instruction"], "body": row["output"]}),
        lambda row: _dump({"text": f"{row['instruction']} {row['output']}"}),
        lambda row: "{}",
    ),
    "missing_field": (
        lambda row: _dump({"instruction": row["instruction"], "input": ""}),
        lambda row: _dump({"output": row["output"]}),
        lambda row: _dump({**row, "output": None}),
        lambda row: _dump({"prompt": row["instruction"]}),
    ),
    "wrong_type": (
        lambda row: _dump({**row, "output": {"answer": row["output"]}}),
        lambda row: _dump({**row, "instruction": [row["instruction"]]}),
        lambda row: _dump({**row, "input": ["please"]}),
        lambda row: _dump({"messages": row["instruction"]}),
    ),
    "not_text": (_half_a_character, _half_a_character),
    "wrong_turns": (
        lambda row: _messages(("user", row["instruction"])),
        lambda row: _messages(("assistant", row["output"]), ("user", row["instruction"])),
        lambda row: _messages(("customer", row["instruction"]), ("assistant", row["output"])),
    ),
    "ambiguous": (lambda row: _dump({**row, "answer": "Ask somebody else."}),),
    "has_media": (lambda row: _dump({**row, "images": ["shelf.png"]}),),
    "preference": (
        lambda row: _dump({"prompt": row["instruction"], "chosen": row["output"], "rejected": "No idea."}),
    ),
    "unwanted_answer": (
        lambda row: _dump({"prompt": row["instruction"], "completion": "No idea.", "label": False}),
    ),
    "empty_prompt": (
        lambda row: _dump({**row, "instruction": ""}),
        lambda row: _dump({**row, "instruction": " \t "}),
        lambda row: _messages(("user", ""), ("assistant", row["output"])),
    ),
    "empty_answer": (
        lambda row: _dump({**row, "output": ""}),
        lambda row: _dump({**row, "output": "   "}),
        lambda row: _dump({"prompt": row["instruction"], "completion": "\n"}),
    ),
    "too_long": (
        lambda row: _dump({**row, "input": "please " * TOO_LONG_REPEATS * 2}),
        lambda row: _dump({**row, "output": f"{row['output']} " * TOO_LONG_REPEATS}),
    ),
}
