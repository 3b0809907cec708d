"""Validate a dataset: screen its rows, judge it, write its sets and its report."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from components.checks import Verdict
from components.conversations import write_conversations
from components.dataset.forms.columns import read_columns
from components.dataset.forms.not_used import told
from components.dataset.forms.suggest import suggest_columns
from components.dataset.judge import DatasetConfig, judge, not_understood
from components.dataset.lengths import chat_tokenizer, row_lengths
from components.dataset.lineage import inputs
from components.dataset.load import Rows, SourceRow, read_rows
from components.dataset.plots import draw_lengths, draw_quarantine
from components.dataset.report import render_report
from components.dataset.samples import Marked
from components.dataset.screen import Screen, Screened, file_name, fingerprint
from components.errors import InvalidInput
from components.sources.digests import changes
from components.tracking.log import StageLog
from components.web import shown

__all__ = ["DatasetConfig", "examine", "validate"]

T = TypeVar("T")


@dataclass(frozen=True)
class Examined:
    """What was found of a dataset whose files could be read.

    Attributes:
        screened: What became of every row.
        verdict: The checks.
        digest: The fingerprint of the accepted rows, `sha256:...`.
        problems: What else stands in the way: a base model that is not there, a file that has changed.
    """

    screened: Screened
    verdict: Verdict
    digest: str
    problems: list[str]


def validate(
    config: DatasetConfig, train_path: Path, eval_path: Path, report_path: Path, stage: StageLog
) -> str:
    """Examine a dataset and refuse one that is not fit to train on.

    Args:
        config: The files and their limits.
        train_path: Where the accepted training rows go, as conversations.
        eval_path: Where the held-out rows go.
        report_path: Where the HTML report goes.
        stage: Where the verdict, the figures and the files are kept.

    Returns:
        The fingerprint of the accepted rows, `sha256:...`.

    Raises:
        InvalidInput: The dataset or its base model is unfit; every problem is listed. If the files could
            be read at all, report and record are written first.
    """
    found = examine(config, train_path, eval_path, report_path, stage)
    if found.problems or not found.verdict.passed:
        raise InvalidInput(f"dataset {shown(config.dataset)}", found.problems + found.verdict.reasons)
    return found.digest


def examine(
    config: DatasetConfig, train_path: Path, eval_path: Path, report_path: Path, stage: StageLog
) -> Examined:
    """Accept or quarantine every row, write both sets and the report, and judge the whole.

    Args:
        config: The files and their limits.
        train_path: Where the accepted training rows go, as conversations.
        eval_path: Where the held-out rows go.
        report_path: Where the HTML report goes.
        stage: Where the verdict, the figures and the files are kept.

    Returns:
        What was found, fit to train on or not.

    Raises:
        InvalidInput: A file can't be read; every problem is listed.
    """
    problems: list[str] = []
    train, held_out = (_read(named, config.max_dataset_bytes, problems) for named in config.files)
    if train is not None:
        stage.say(f"read {len(train.rows) + len(held_out.rows if held_out else ())} rows")
    if train is not None and held_out is not None:
        problems += changes(config.files, (train.digest, held_out.digest), config.dataset_digest)
    tokenizer = _attempt(lambda: chat_tokenizer(config.base_model), problems)
    lengths = row_lengths(tokenizer) if tokenizer else None
    columns = read_columns(config.columns)
    if train is None or held_out is None:
        raise InvalidInput(f"dataset {shown(config.dataset)}", problems)

    screened = _screen(
        config, train.rows, held_out.rows, Screen(config.max_length, lengths, columns, config.preferences)
    )
    stage.say(
        f"accepted {len(screened.train)} rows for training and {len(screened.eval)} for evaluation, "
        f"quarantined {len(screened.quarantined)}"
    )
    write_conversations(train_path, (row.conversation for row in screened.train))
    write_conversations(eval_path, (row.conversation for row in screened.eval))
    digest = fingerprint(screened)
    verdict = judge(config, screened)
    _record(config, screened, verdict, digest, stage)
    marked = partial(tokenizer.marked, learn=config.learn_turns) if tokenizer else None
    _report(config, screened, verdict, digest, marked, report_path, stage)
    stage.inputs(inputs(config, screened, digest))
    if not verdict.passed:
        problems += _hints(config, screened, train.rows, held_out.rows)
    return Examined(screened, verdict, digest, problems)


def _read(named: str, limit_bytes: int, problems: list[str]) -> Rows | None:
    return _attempt(lambda: read_rows(named, limit_bytes), problems) if named else Rows()


def _attempt(read: Callable[[], T], problems: list[str]) -> T | None:
    """Return what `read` returns, or None and its problems with the others."""
    try:
        return read()
    except InvalidInput as error:
        problems.extend(f"{error.what}: {problem}" for problem in error.problems)
        return None


def _screen(
    config: DatasetConfig, train: list[SourceRow], held_out: list[SourceRow], screen: Screen
) -> Screened:
    train_file = (shown(config.dataset), train)
    if config.eval_dataset:
        return screen.with_eval_file(train_file, (shown(config.eval_dataset), held_out))
    return screen.with_split(train_file, config.eval_fraction, config.seed)


def _hints(
    config: DatasetConfig, screened: Screened, train: list[SourceRow], held_out: list[SourceRow]
) -> list[str]:
    """Say what a file's fields may be, where most of its rows have no known form."""
    hints = []
    for named, rows in zip(config.files, (train, held_out), strict=True):
        file = shown(named)
        hint = suggest_columns(row.value for row in rows) if not_understood(screened, file) else ""
        hints += [f"{file_name(file)}: {hint}"] if hint else []
    return hints


def _record(
    config: DatasetConfig, screened: Screened, verdict: Verdict, digest: str, stage: StageLog
) -> None:
    accepted = len(screened.train) + len(screened.eval)
    counts = {
        "rows_in": screened.rows_in,
        "rows_accepted": accepted,
        "rows_quarantined": len(screened.quarantined),
        "rows_contradicting": sum(map(len, screened.contradictions)),
        "train_tokens": sum(row.tokens for row in screened.train),
        "eval_tokens": sum(row.tokens for row in screened.eval),
    }
    stage.metrics({**counts, **length_quantiles(screened.tokens)})
    stage.verdict(verdict)
    stage.fact("dataset", shown(config.dataset))
    stage.fact("dataset_fingerprint", digest)
    if screened.not_used:
        stage.fact("dataset_not_used", told(screened.not_used))


def length_quantiles(tokens: list[int]) -> dict[str, float]:
    """Return the median, the 95th percentile and the most of rows' lengths; nothing for no rows."""
    if not tokens:
        return {}
    ordered = sorted(tokens)

    def quantile(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return {"tokens_p50": quantile(0.5), "tokens_p95": quantile(0.95), "tokens_max": ordered[-1]}


def _report(
    config: DatasetConfig,
    screened: Screened,
    verdict: Verdict,
    digest: str,
    marked: Marked | None,
    report_path: Path,
    stage: StageLog,
) -> None:
    """Write the report and keep it, its pictures and the quarantined rows with the run."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {"Tokens per row": folder / "token_lengths.png"}
        draw_lengths(screened, config.max_length, pictures["Tokens per row"])
        stage.figure("Tokens per row", pictures["Tokens per row"])
        if screened.quarantined:  # the page has them as a table
            draw_quarantine(screened, folder / "quarantined.png")
            stage.figure("Quarantined rows", folder / "quarantined.png")
        page = render_report(config, screened, verdict, digest, pictures, marked)
        report_path.parent.mkdir(parents=True, exist_ok=True)
        report_path.write_text(page, encoding="utf-8")
        (folder / "dataset-report.html").write_text(page, encoding="utf-8")
        stage.file(folder / "dataset-report.html")
        lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in screened.quarantined]
        (folder / "quarantine.jsonl").write_text("".join(lines), encoding="utf-8")
        stage.file(folder / "quarantine.jsonl")
