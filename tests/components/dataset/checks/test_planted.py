"""What is planted in a dataset is nowhere in what the stage leaves, whatever becomes of its row."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.dataset.validate import DatasetConfig, validate
from components.errors import InvalidInput
from components.tracking.page import write_page
from components.tracking.stage import Stage

# Put together here, so that this file holds no token itself.
SECRET = "ghp_" + "b7Kq2ZtWm9XcR4vLpY8sNdJ3fHgT6aEuQ1oB"
PLANTED = {
    "secret": SECRET,
    "card": "4012 8888 8888 1881",
    "email": "maria.lopez@petmail.org",
    "iban": "DE89 3704 0044 0532 0130 00",
    "phone": "+49 30 901820",
}
ESCAPED = PLANTED["email"].replace("@", "\\u0040")


def rows_with(what: str) -> list[str]:
    """Return rows that are accepted, contradict, are doubled, or are refused for any reason."""
    text = PLANTED[what]
    rows: list[Any] = [
        {"instruction": f"Send it to {text} today", "output": "Done."},
        {"instruction": f"Send it to {text} today", "output": "Not done."},
        {"instruction": f"Send it to {text} today!", "output": "Not done."},
        {"instruction": f"Send it to {text} today", "output": "Done."},
        {"instruction": "Who wrote?", "output": f"It was\n{text}\nas ever."},
        {"instruction": f"{text} " * 300, "output": "Too long."},
        {"instruction": f"{text}", "output": ""},
        {"instruction": 5, "output": text},
        {"messages": [{"role": text, "content": "x"}]},
        {"messages": text},
        {text: "no known form"},
        {"instruction": "x " * 110 + text, "output": 5, "customer": text},
        [text],
        text,
        {"messages": [{"role": "system", "content": text}, {"role": "user", "content": "What?"}]},
    ]
    broken = f'{{"instruction": "Where is {text}", "output": '
    twice = f'{{"{text}": 1, "{text}": 2}}'
    return [json.dumps(row) for row in rows] + [broken, twice, f"{text}, and no JSON"]


@pytest.mark.parametrize("policy", ["report", "redact", "refuse"])
def test_what_is_planted_is_left_nowhere(
    policy: str, tmp_path: Path, stage: Stage, tiny_model: Path, capfd: pytest.CaptureFixture[str]
):
    data, out = tmp_path / "rows.jsonl", tmp_path / "out"
    sound = [{"instruction": f"Where is shelf {n}?", "output": f"Aisle {n % 4}."} for n in range(20)]
    lines = [*map(json.dumps, sound), *(row for what in PLANTED for row in rows_with(what))]
    data.write_text("\n".join([*lines, "{" + ESCAPED + "} is no JSON"]))
    config = DatasetConfig.model_validate(
        {
            "dataset": str(data),
            "base_model": str(tiny_model),
            "min_train_rows": 1,
            "min_eval_rows": 1,
            "max_quarantined_share": 1,
            "max_truncated_share": 1,
            "max_contradicting_share": 1,
            "secrets": policy,
            "personal_data": policy,
        }
    )
    sets = {out / "train", out / "eval"}
    told = ""
    try:
        validate(config, out / "train", out / "eval", out / "report.html", stage)
    except InvalidInput as error:
        told = str(error)
    write_page(stage, out / "page.md")
    assert bool(told) == (policy == "refuse"), told

    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != data}
    files |= {Path("stdout"): "".join(capfd.readouterr()).encode(), Path("error"): told.encode()}
    report, trained = files[out / "report.html"], b"".join(files[path] for path in sets)
    for what, text in PLANTED.items():
        planted = {text.encode(), text.encode()[: len(text) * 2 // 3], ESCAPED.encode()}
        holding = {path for path, content in files.items() if any(part in content for part in planted)}
        assert not holding - (sets if policy == "report" else set())
        assert bool(holding) == (policy == "report")
        assert f"[{what}]".encode() in report and b"Secrets and personal data" in report
        assert (f"[{what}]".encode() in trained) == (policy != "report")
    assert stage.record.metrics["rows_with_secrets_found"] == 6
    assert stage.record.metrics["rows_with_personal_data_found"] == 24
