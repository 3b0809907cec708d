from pathlib import Path

from components.conversations import Message
from components.evaluate.agreement import agreement
from components.evaluate.scores import ScoredExample, Scores


def example(base: float, tuned: float) -> ScoredExample:
    return ScoredExample(
        prompt=(Message(role="user", content="?"),),
        reference="yes",
        base_answer="",
        tuned_answer="",
        base={"exact_match": base, "contains": base},
        tuned={"exact_match": tuned, "contains": tuned},
    )


def test_rows_are_the_base_and_columns_the_fine_tuned(tmp_path: Path):
    rows = [(1, 1), (1, 0), (0, 1), (0, 1), (0.5, 0.5)]
    scores = Scores(
        adapter_digest="sha256:0",
        base_model="b",
        base_revision="r",
        examples=tuple(example(*row) for row in rows),
        guard=(example(1, 1),),
        guard_base=1,
        guard_tuned=1,
    )
    scores.write(tmp_path / "scores")
    assert agreement(tmp_path / "scores") == [[1, 1], [2, 1]]
