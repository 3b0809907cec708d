"""A row of a known form is the same conversation, or has the same flaw, from each format and packing."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as some

from components.dataset.files.load import RowFile
from components.dataset.rows import RowFlaw, to_conversation
from tests.components.dataset.files.test_any_file import FORMATS, PACK

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)

# UTF-8 can't hold half a character, nor Parquet, so no file has one.
texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=12)
said = texts.filter(str.strip)
maybe = texts | some.none()
pairs = some.fixed_dictionaries(
    {"prompt": texts, "completion": texts}, optional={"context": maybe, "system": maybe, "source": maybe}
)
turn = some.fixed_dictionaries({"role": some.sampled_from(["user", "assistant", "system"]), "content": texts})
talks = some.fixed_dictionaries(
    {"messages": some.lists(turn, min_size=1, max_size=4)}, optional={"system": maybe}
)
asked = some.lists(said, min_size=1, max_size=3).map(
    lambda words: [
        {"from": "gpt" if place % 2 else "human", "value": word}
        for place, word in enumerate([*words, *words])
    ]
)
shared = some.fixed_dictionaries({"conversations": asked})
labelled = some.fixed_dictionaries({"question": said, "answer": some.booleans() | some.integers(-9, 9)})
calling = some.fixed_dictionaries(
    {
        "messages": some.tuples(said, said, said, said).map(
            lambda words: [
                {"role": "user", "content": words[0]},
                {"role": "assistant", "tool_calls": [{"name": "find", "arguments": {"item": words[1]}}]},
                {"role": "tool", "content": words[2]},
                {"role": "assistant", "content": words[3]},
            ]
        ),
        "tools": some.just([{"name": "find", "description": "Finds.", "parameters": {"type": "object"}}]),
    }
)
history = some.fixed_dictionaries(
    {
        "instruction": said,
        "output": said,
        "history": some.lists(some.tuples(said, said).map(list), max_size=2),
    }
)


def outcomes(path: Path) -> list[Any]:
    found: list[Any] = []
    for row in RowFile(str(path), 1 << 30):
        try:
            if row.flaw:
                raise row.flaw
            found.append(to_conversation(row.value))
        except RowFlaw as flaw:
            found.append(flaw.kind)
    return found


@SETTINGS
@given(
    rows=some.one_of(
        *(
            some.lists(form, min_size=1, max_size=3)
            for form in (pairs, talks, shared, labelled, calling, history)
        )
    ),
    packing=some.sampled_from([*PACK]),
)
def test_a_row_is_the_same_from_each_format(rows: list[dict[str, Any]], packing: str):
    read = {}
    with tempfile.TemporaryDirectory() as folder:
        for ending, writers in FORMATS.items():
            for number, write in enumerate(writers):
                path = Path(folder) / f"rows{ending}{packing}"
                path.write_bytes(PACK[packing](write(rows)))
                read[ending, number] = outcomes(path)
    wanted = read[".jsonl", 0]
    assert len(wanted) == len(rows)
    assert {key: found for key, found in read.items() if found != wanted} == {}
