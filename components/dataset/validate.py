"""Validate a dataset: screen its rows, judge it, write its sets and its report."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from components.checks import Verdict
from components.conversations import write_conversations
from components.dataset.judge import DatasetConfig, judge
from components.dataset.lengths import chat_tokenizer
from components.dataset.lineage import log_inputs
from components.dataset.load import SourceRow, read_rows
from components.dataset.plots import draw_lengths, draw_quarantine
from components.dataset.report import render_report
from components.dataset.screen import Screen, Screened, fingerprint
from components.errors import InvalidInput
from components.sources.digests import Contents, changes
from components.sources.expand import check_all, expanded
from components.tracking.stage import Stage
from components.web import shown

__all__ = ["DatasetConfig", "validate"]

T = TypeVar("T")


def validate(
    config: DatasetConfig, train_path: Path, eval_path: Path, report_path: Path, stage: Stage
) -> str:
    """Accept or quarantine every row, write both sets and the report, and judge the whole.

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
    name = shown(config.dataset)
    problems: list[str] = []
    train = _attempt(lambda: _read(config.dataset, config, stage), problems)
    held_out = _attempt(lambda: _read(config.eval_dataset, config, stage), problems)
    if train is not None:
        stage.say(f"read {len(train[0]) + len(held_out[0] if held_out else ())} rows")
    if train is not None and held_out is not None:
        problems += changes((train[1], held_out[1]), config.dataset_digest)
    tokenizer = _attempt(lambda: chat_tokenizer(config.base_model), problems)
    if train is None or held_out is None:
        raise InvalidInput(f"dataset {name}", problems)

    screened = _screen(
        config, train[0], held_out[0], Screen(config.max_length, tokenizer.lengths if tokenizer else None)
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
    _report(config, screened, verdict, digest, report_path, stage)
    log_inputs(config, screened, digest, stage)
    if problems or not verdict.passed:
        raise InvalidInput(f"dataset {name}", problems + verdict.reasons)
    return digest


def _read(named: str, config: DatasetConfig, stage: Stage) -> tuple[list[SourceRow], Contents]:
    """Read the rows of all files that a parameter names, and what each file held."""
    rows, refused = list[SourceRow](), list[InvalidInput]()
    names, digests, count = list[str](), list[str](), 0
    with expanded(named, config.max_dataset_bytes) as files:
        if files.not_read:
            stage.say(files.not_read)
        for source in files.sources:
            try:
                read = read_rows(source, config.max_dataset_bytes, count)
            except InvalidInput as error:
                refused.append(error)
                continue
            count += read.size_bytes
            rows += (replace(row, file=source.shown) for row in read.rows)
            names.append(source.shown)
            digests.append(read.digest)
    check_all(named, refused)
    return rows, Contents(tuple(names), tuple(digests))


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


def _record(config: DatasetConfig, screened: Screened, verdict: Verdict, digest: str, stage: Stage) -> None:
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
    report_path: Path,
    stage: Stage,
) -> None:
    """Write the report and keep it, its pictures and the quarantined rows with the run."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {"Tokens per row": folder / "token_lengths.png"}
        draw_lengths(screened, config.max_length, pictures["Tokens per row"])
        if screened.quarantined:
            pictures["Quarantined rows"] = folder / "quarantined.png"
            draw_quarantine(screened, pictures["Quarantined rows"])
        for title, png in pictures.items():
            stage.figure(title, png)
        page = render_report(config, screened, verdict, digest, pictures)
        report_path.parent.mkdir(parents=True, exist_ok=True)
        report_path.write_text(page, encoding="utf-8")
        (folder / "dataset-report.html").write_text(page, encoding="utf-8")
        stage.file(folder / "dataset-report.html")
        lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in screened.quarantined]
        (folder / "quarantine.jsonl").write_text("".join(lines), encoding="utf-8")
        stage.file(folder / "quarantine.jsonl")
