import pytest

from components.conversations import Conversation, Message
from components.dataset.row_store import Row
from components.dataset.samples import PIECE_CHARACTERS, ROW_CHARACTERS, samples

SEEN = [("<user>Where?<assistant>", False), ("Aisle 3.<end>", True)]


def row(line: int) -> Row:
    turns = (Message(role="user", content="Where?"), Message(role="assistant", content="Aisle 3."))
    return Row("rows.jsonl", line, "{}", Conversation(messages=turns))


@pytest.mark.parametrize(
    ("count", "lines"),
    [
        pytest.param(0, [], id="none"),
        pytest.param(1, [1], id="one"),
        pytest.param(2, [1, 2], id="two"),
        pytest.param(3, [1, 2, 3], id="three"),
        pytest.param(101, [1, 51, 101], id="many"),
    ],
)
def test_rows_are_from_the_beginning_the_middle_and_the_end(count: int, lines: list[int]):
    found = samples([row(line) for line in range(1, count + 1)], lambda conversation: SEEN)
    assert [sample.row.line for sample in found] == lines
    assert all(sample.seen == SEEN and not sample.cut for sample in found)


def test_without_a_base_model_nothing_is_said_of_what_it_sees():
    (sample,) = samples([row(1)], None)
    assert sample.seen == [] and not sample.cut


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        pytest.param(
            [("a" * PIECE_CHARACTERS + "b", True)],
            [("a" * (PIECE_CHARACTERS // 2) + " … " + "a" * (PIECE_CHARACTERS // 2 - 1) + "b", True)],
            id="a long piece, its middle",
        ),
        pytest.param(
            [("a" * PIECE_CHARACTERS, number % 2 == 1) for number in range(9)],
            [
                ("a" * PIECE_CHARACTERS, number % 2 == 1)
                for number in range(ROW_CHARACTERS // PIECE_CHARACTERS)
            ],
            id="many pieces, the last",
        ),
    ],
)
def test_what_is_cut_of_a_long_row(pieces: list[tuple[str, bool]], shown: list[tuple[str, bool]]):
    (sample,) = samples([row(1)], lambda conversation: pieces)
    assert sample.seen == shown and sample.cut
