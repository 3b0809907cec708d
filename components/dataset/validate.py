"""Validate a dataset: screen its rows, judge it, write its sets and its report."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from components.checks import Verdict
from components.conversations import write_conversations
from components.dataset.checks.secrets import ScanFailed
from components.dataset.checks.sift import Sieve
from components.dataset.checks.signatures import NoRoom, Signatures
from components.dataset.judge import DatasetConfig, judge
from components.dataset.lengths import chat_tokenizer
from components.dataset.lineage import log_inputs
from components.dataset.load import Rows, SourceRow, read_rows
from components.dataset.overview import Overview, look_over
from components.dataset.plots import draw_lengths, draw_quarantine
from components.dataset.report import render_report
from components.dataset.screen import Screen, Screened, fingerprint
from components.errors import InvalidInput
from components.sources.digests import changes
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
    train, held_out = (_read(named, config.max_dataset_bytes, problems) for named in config.files)
    if train is not None:
        stage.say(f"read {len(train.rows) + len(held_out.rows if held_out else ())} rows")
    if train is not None and held_out is not None:
        problems += changes(config.files, (train.digest, held_out.digest), config.dataset_digest)
    tokenizer = _attempt(lambda: chat_tokenizer(config.base_model), problems)
    if train is None or held_out is None:
        raise InvalidInput(f"dataset {name}", problems)

    with TemporaryDirectory(prefix="tunegate-") as folder:
        screen = Screen(
            config.max_length,
            tokenizer.lengths if tokenizer else None,
            Sieve(config.secrets, config.personal_data),
            Signatures(Path(folder)),
            config.group_by,
        )
        try:
            screened = _screen(config, train.rows, held_out.rows, screen)
        except (ScanFailed, NoRoom) as error:
            raise InvalidInput(f"dataset {name}", [*problems, str(error)]) from error
    if config.group_by and not any(row.group for row in (*screened.train, *screened.eval)):
        problems.append(
            f"group_by: no accepted row has a field {config.group_by!r}; wanted one that rows have"
        )
    stage.say(
        f"accepted {len(screened.train)} rows for training and {len(screened.eval)} for evaluation, "
        f"quarantined {len(screened.quarantined)}"
    )
    write_conversations(train_path, (row.conversation for row in screened.train))
    write_conversations(eval_path, (row.conversation for row in screened.eval))
    digest = fingerprint(screened)
    overview = look_over(screened)
    verdict = judge(config, screened, overview.answers)
    _record(config, screened, verdict, digest, stage)
    _suggest(overview, stage)
    _report(config, screened, overview, verdict, digest, report_path, stage)
    log_inputs(config, screened, digest, stage)
    if problems or not verdict.passed:
        raise InvalidInput(f"dataset {name}", problems + verdict.reasons)
    return digest


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


def _record(config: DatasetConfig, screened: Screened, verdict: Verdict, digest: str, stage: Stage) -> None:
    accepted = len(screened.train) + len(screened.eval)
    counts = {
        "rows_in": screened.rows_in,
        "rows_accepted": accepted,
        "rows_quarantined": len(screened.quarantined),
        "rows_contradicting": sum(map(len, screened.contradictions)),
        "rows_near_duplicate": screened.near_duplicates,
        "rows_near_leaked": screened.near_leaks,
        "rows_with_secrets_found": screened.findings.with_secrets,
        "rows_with_personal_data_found": screened.findings.with_personal_data,
        "train_tokens": sum(row.tokens for row in screened.train),
        "eval_tokens": sum(row.tokens for row in screened.eval),
    }
    stage.metrics({**counts, **length_quantiles(screened.tokens)})
    stage.verdict(verdict)
    stage.fact("dataset", shown(config.dataset))
    stage.fact("dataset_fingerprint", digest)


def _suggest(overview: Overview, stage: Stage) -> None:
    suggestion = overview.suggestion
    stage.fact("suggested_metric", suggestion.quality_metric)
    if suggestion.max_length:
        stage.fact("suggested_max_length", str(suggestion.max_length))
    if overview.languages.shares:
        stage.fact("languages", str(overview.languages))


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
    overview: Overview,
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
        page = render_report(config, screened, overview, verdict, digest, pictures)
        report_path.parent.mkdir(parents=True, exist_ok=True)
        report_path.write_text(page, encoding="utf-8")
        (folder / "dataset-report.html").write_text(page, encoding="utf-8")
        stage.file(folder / "dataset-report.html")
        lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in screened.quarantined]
        (folder / "quarantine.jsonl").write_text("".join(lines), encoding="utf-8")
        stage.file(folder / "quarantine.jsonl")
