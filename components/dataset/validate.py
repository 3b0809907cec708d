"""Validate a dataset: screen its rows, judge it, write its sets and its report."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TypeVar

from components.checks import Verdict
from components.dataset.arrays import Numbers
from components.dataset.checks.names import shown_text
from components.dataset.checks.secrets import ScanFailed
from components.dataset.checks.sift import Sieve
from components.dataset.checks.signatures import NoRoom, Signatures
from components.dataset.files.load import RowFiles
from components.dataset.files.source_row import SourceRow
from components.dataset.forms.columns import read_columns
from components.dataset.forms.not_used import told
from components.dataset.forms.suggest import suggest_columns
from components.dataset.judge import DatasetConfig, judge, not_understood
from components.dataset.lengths import chat_tokenizer, row_lengths
from components.dataset.lineage import inputs
from components.dataset.overview import Overview, look_over
from components.dataset.plots import draw_lengths, draw_quarantine
from components.dataset.report import render_report
from components.dataset.samples import Marked
from components.dataset.screen import Screen, Screened, file_name, fingerprint
from components.errors import InvalidInput
from components.sources.digests import changes
from components.storage import atomic_write, full_disk_told
from components.templates.chat_tokenizer import ChatTokenizer
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
    tokenizer = _attempt(lambda: chat_tokenizer(config.base_model), problems)
    screened = _screen(config, tokenizer, problems, stage.say)
    if screened is None:
        raise InvalidInput(f"dataset {shown(config.dataset)}", problems)
    stage.say(f"read {screened.rows_in} rows")
    if config.group_by and not screened.in_groups:
        problems.append(
            f"group_by: no accepted row has a field {config.group_by!r}; wanted one that rows have"
        )
    stage.say(
        f"accepted {len(screened.train)} rows for training and {len(screened.eval)} for evaluation, "
        f"quarantined {len(screened.quarantined)}"
    )
    for path, rows in ((train_path, screened.train), (eval_path, screened.eval)):
        with atomic_write(path) as file:
            file.writelines(content + b"\n" for content in rows.contents())
    digest = fingerprint(screened.train, screened.eval)
    overview = look_over(screened)
    verdict = judge(config, screened, overview.answers)
    _record(config, screened, verdict, digest, stage)
    _suggest(overview, stage)
    marked = partial(tokenizer.marked, learn=config.learn_turns) if tokenizer else None
    _report(config, screened, overview, verdict, digest, marked, report_path, stage)
    stage.inputs(inputs(config, screened, digest))
    if not verdict.passed:
        problems += _hints(screened)
    return Examined(screened, verdict, digest, problems)


def _attempt(read: Callable[[], T], problems: list[str]) -> T | None:
    """Return what `read` returns, or None and its problems with the others."""
    try:
        return read()
    except InvalidInput as error:
        problems.extend(f"{error.what}: {problem}" for problem in error.problems)
        return None


def _screen(
    config: DatasetConfig, tokenizer: ChatTokenizer | None, problems: list[str], say: Callable[[str], None]
) -> Screened | None:
    """Read and screen the files; None, and why with the other problems, if one can't be read."""
    train, held_out = (RowFiles(named, config.max_dataset_bytes, say) for named in config.files)
    names = [shown(named) for named in config.files]
    unread: list[str] = []

    def rows(files: RowFiles, screen: Screen) -> Iterator[SourceRow]:
        """Yield what can be read: what is wrong with one file hides nothing about the other."""
        try:
            yield from files
            screen.note_unused(files.beside)
        except InvalidInput as error:
            unread.extend(f"{error.what}: {problem}" for problem in error.problems)

    def screened() -> Screened:
        with TemporaryDirectory(prefix="tunegate-") as folder:
            screen = Screen(
                config.max_length,
                row_lengths(tokenizer, config.learn_turns) if tokenizer else None,
                config.seed,
                Sieve(config.secrets, config.personal_data),
                Signatures(Path(folder)),
                config.group_by,
                read_columns(config.columns),
                config.preferences,
            )
            if config.eval_dataset:
                return screen.with_eval_file(
                    (names[0], rows(train, screen)), (names[1], rows(held_out, screen))
                )
            return screen.with_split((names[0], rows(train, screen)), config.eval_fraction)

    try:
        found = _attempt(screened, problems)
    except (ScanFailed, NoRoom) as error:
        raise InvalidInput(f"dataset {names[0]}", [*problems, *unread, str(error)]) from error
    problems += unread
    if found is None or unread:
        return None
    both = sorted(set(train.contents.names) & set(held_out.contents.names))
    problems += [f"{name}: is in dataset and in eval_dataset; name it in one of them" for name in both]
    problems += changes((train.contents, held_out.contents), config.dataset_digest)
    return found


def _hints(screened: Screened) -> list[str]:
    """Say what a file's fields may be, where most of its rows have no known form."""
    hints = []
    for file, rows in screened.first.items():
        hint = suggest_columns(rows) if not_understood(screened, file) else ""
        hints += [f"{file_name(file)}: {shown_text(hint)}"] if hint else []
    return hints


def _record(
    config: DatasetConfig, screened: Screened, verdict: Verdict, digest: str, stage: StageLog
) -> None:
    accepted = len(screened.train) + len(screened.eval)
    counts = {
        "rows_in": screened.rows_in,
        "rows_accepted": accepted,
        "rows_quarantined": len(screened.quarantined),
        "rows_contradicting": screened.contradictions.rows,
        "rows_near_duplicate": screened.nearly.duplicates,
        "rows_near_leaked": screened.nearly.leaks,
        "rows_with_secrets_found": screened.findings.with_secrets,
        "rows_with_personal_data_found": screened.findings.with_personal_data,
        "train_tokens": int(screened.train.tokens.sum()),
        "eval_tokens": int(screened.eval.tokens.sum()),
    }
    stage.metrics({**counts, **length_quantiles(screened.tokens)})
    stage.verdict(verdict)
    stage.fact("dataset", shown(config.dataset))
    stage.fact("dataset_fingerprint", digest)
    if screened.not_used:
        stage.fact("dataset_not_used", told(screened.not_used))


def _suggest(overview: Overview, stage: StageLog) -> None:
    suggestion = overview.suggestion
    stage.fact("suggested_metric", suggestion.quality_metric)
    if suggestion.max_length:
        stage.fact("suggested_max_length", str(suggestion.max_length))
    if overview.languages.shares:
        stage.fact("languages", str(overview.languages))


def length_quantiles(tokens: Numbers) -> dict[str, float]:
    """Return the median, the 95th percentile and the most of rows' lengths; nothing for no rows."""
    import numpy

    if not len(tokens):
        return {}
    ordered = numpy.sort(tokens)

    def quantile(share: float) -> float:
        return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))])

    return {"tokens_p50": quantile(0.5), "tokens_p95": quantile(0.95), "tokens_max": float(ordered[-1])}


def _report(
    config: DatasetConfig,
    screened: Screened,
    overview: Overview,
    verdict: Verdict,
    digest: str,
    marked: Marked | None,
    report_path: Path,
    stage: StageLog,
) -> None:
    """Write the report and keep it, its pictures and the quarantined rows with the run."""
    with full_disk_told(Path(gettempdir())), TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {"Tokens per row": folder / "token_lengths.png"}
        draw_lengths(screened, config.max_length, pictures["Tokens per row"])
        stage.figure("Tokens per row", pictures["Tokens per row"])
        if len(screened.quarantined):  # the page has them as a table
            draw_quarantine(screened, folder / "quarantined.png")
            stage.figure("Quarantined rows", folder / "quarantined.png")
        page = render_report(config, screened, overview, verdict, digest, pictures, marked)
        with atomic_write(report_path) as report:
            report.write(page.encode())
        (folder / "dataset-report.html").write_text(page, encoding="utf-8")
        stage.file(folder / "dataset-report.html")
        with (folder / "quarantine.jsonl").open("w", encoding="utf-8") as file:
            for row in screened.quarantined:
                file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        stage.file(folder / "quarantine.jsonl")
