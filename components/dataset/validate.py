"""Validate a dataset: screen its rows, judge it, write its sets and its report."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from components.dataset.arrays import Numbers
from components.dataset.beside import Beside
from components.dataset.checks.languages import load_model
from components.dataset.checks.names import shown_text
from components.dataset.checks.secrets import ScanFailed
from components.dataset.checks.sift import Sieve
from components.dataset.checks.signatures import NoRoom, Signatures
from components.dataset.config import DatasetConfig
from components.dataset.drift import Earlier, drift, is_limited
from components.dataset.earlier import earlier_dataset
from components.dataset.encoded_rows import EncodedRows
from components.dataset.examined import Examined
from components.dataset.files.load import RowFiles
from components.dataset.files.source_row import SourceRow
from components.dataset.forms.columns import read_columns
from components.dataset.forms.not_used import told
from components.dataset.forms.suggest import suggest_columns
from components.dataset.intake import Intake, Lengths
from components.dataset.judge import judge, not_understood
from components.dataset.lengths import chat_tokenizer, row_lengths
from components.dataset.lineage import inputs
from components.dataset.overview import Overview, look_over
from components.dataset.profile import keep_profile, profile_of
from components.dataset.report import write_report
from components.dataset.screen import Screen, Screened, fingerprint
from components.errors import InvalidInput
from components.oci.hashing import file_digest
from components.sources.digests import changes
from components.sources.names import file_name
from components.storage import atomic_write
from components.templates.chat_tokenizer import ChatTokenizer
from components.templates.encoded import MadeWith, write_encoded
from components.tracking.log import StageLog
from components.tracking.stage import Stage
from components.web import shown

__all__ = ["DatasetConfig", "examine", "validate"]

T = TypeVar("T")
# Languages are told and pictures drawn beside: together these take as long to load as the tokenizer does.
LOADED_BESIDE = ("py3langid.langid", "matplotlib.figure", "matplotlib.backends.backend_agg")


def validate(
    config: DatasetConfig,
    train_path: Path,
    eval_path: Path,
    report_path: Path,
    stage: Stage,
    tokens_path: Path | None = None,
) -> str:
    """Examine a dataset, compare it with that of the champion, and refuse one that is not fit to train on.

    Args:
        config: The files and their limits.
        train_path: Where the accepted training rows go, as conversations.
        eval_path: Where the held-out rows go.
        report_path: Where the HTML report goes.
        stage: The running stage.
        tokens_path: Where the training rows go as tokens, which fine-tuning reads; None: nowhere.

    Returns:
        The fingerprint of the accepted rows, `sha256:...`.

    Raises:
        InvalidInput: The dataset or its base model is unfit; every problem is listed. If the files could
            be read at all, report and record are written first.
    """
    earlier = None
    if config.model_name:
        earlier = earlier_dataset(stage.client, config.model_name, stage.say, is_limited(config))
    found = examine(config, train_path, eval_path, report_path, stage, earlier, tokens_path)
    if found.problems or not found.verdict.passed:
        raise InvalidInput(f"dataset {shown(config.dataset)}", found.problems + found.verdict.reasons)
    return found.digest


def examine(
    config: DatasetConfig,
    train_path: Path,
    eval_path: Path,
    report_path: Path,
    stage: StageLog,
    earlier: Earlier | None = None,
    tokens_path: Path | None = None,
) -> Examined:
    """Accept or quarantine every row, write both sets and the report, and judge the whole.

    Args:
        config: The files and their limits.
        train_path: Where the accepted training rows go, as conversations.
        eval_path: Where the held-out rows go.
        report_path: Where the HTML report goes.
        stage: Where the verdict, the figures and the files are kept.
        earlier: The dataset of the champion; None: there is none to compare with.
        tokens_path: Where the training rows go as tokens, which fine-tuning reads; None: nowhere.

    Returns:
        What was found, fit to train on or not.

    Raises:
        InvalidInput: A file can't be read; every problem is listed.
    """
    with Beside(*LOADED_BESIDE) as beside:
        beside.call(load_model)
        return _examine(config, train_path, eval_path, report_path, stage, earlier, tokens_path, beside)


def _examine(
    config: DatasetConfig,
    train_path: Path,
    eval_path: Path,
    report_path: Path,
    stage: StageLog,
    earlier: Earlier | None,
    tokens_path: Path | None,
    beside: Beside,
) -> Examined:
    problems: list[str] = []
    load_tokenizer = cache(lambda: _attempt(lambda: chat_tokenizer(config.base_model), problems))
    encoded = EncodedRows() if tokens_path else None
    screened = _screen(config, load_tokenizer, encoded, problems, stage.say)
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
    tokenizer = load_tokenizer()
    if tokens_path and tokenizer and encoded:
        made_with = MadeWith(tokenizer.digest, config.learn_turns, file_digest(train_path))
        write_encoded(tokens_path, encoded.batches(screened.train.numbers), made_with, config.max_length)
    digest = fingerprint(screened.train, screened.eval)
    overview = look_over(screened, beside)
    profile = profile_of(screened.train.together_with(screened.eval), overview.answers.kind == "labels")
    drifted = drift(earlier, profile) if earlier else None
    verdict = judge(config, screened, overview.answers, drifted)
    if not verdict.passed:
        problems += _hints(screened)
    found = Examined(screened, overview, drifted, verdict, digest, problems)
    _record(config, found, stage)
    marked = partial(tokenizer.marked, learn=config.learn_turns) if tokenizer else None
    write_report(config, found, marked, report_path, stage, beside)
    if tokenizer:  # else the rows have no lengths
        keep_profile(profile, stage)
    stage.inputs(inputs(config, screened, digest))
    return found


def _attempt(read: Callable[[], T], problems: list[str]) -> T | None:
    """Return what `read` returns, or None and its problems with the others."""
    try:
        return read()
    except InvalidInput as error:
        problems.extend(f"{error.what}: {problem}" for problem in error.problems)
        return None


def _screen(
    config: DatasetConfig,
    load_tokenizer: Callable[[], ChatTokenizer | None],
    encoded: EncodedRows | None,
    problems: list[str],
    say: Callable[[str], None],
) -> Screened | None:
    """Read and screen the files; None, and why with the other problems, if one can't be read."""
    train, held_out = (RowFiles(named, config.max_dataset_bytes, say) for named in config.files)
    names = [shown(named) for named in config.files]
    unread: list[str] = []
    refused: list[str] = []

    def rows(files: RowFiles, screen: Screen) -> Iterator[SourceRow]:
        """Yield what can be read: what is wrong with one file hides nothing about the other."""
        try:
            yield from files
            screen.note_unused(files.beside)
        except InvalidInput as error:
            unread.extend(f"{error.what}: {problem}" for problem in error.problems)

    def load_lengths() -> Lengths | None:
        tokenizer = load_tokenizer()
        return row_lengths(tokenizer, config.learn_turns, encoded) if tokenizer else None

    def screened() -> Screened:
        with TemporaryDirectory(prefix="tunegate-") as folder:
            intake = Intake(
                config.max_length,
                load_lengths,
                config.seed,
                Sieve(config.secrets, config.personal_data),
                Signatures(Path(folder)),
                config.group_by,
                read_columns(config.columns),
                config.preferences,
            )
            screen = Screen(intake)
            if config.eval_dataset:
                return screen.with_eval_file(
                    (names[0], rows(train, screen)), (names[1], rows(held_out, screen))
                )
            return screen.with_split((names[0], rows(train, screen)), config.eval_fraction)

    try:
        found = _attempt(screened, refused)
    except (ScanFailed, NoRoom) as error:
        raise InvalidInput(f"dataset {names[0]}", [*problems, *unread, str(error)]) from error
    load_tokenizer()  # what is wrong with it is told even where there was no row to count
    problems += refused + unread
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


def _record(config: DatasetConfig, found: Examined, stage: StageLog) -> None:
    screened = found.screened
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
    stage.verdict(found.verdict)
    stage.fact("dataset", shown(config.dataset))
    stage.fact("dataset_fingerprint", found.digest)
    if screened.not_used:
        stage.fact("dataset_not_used", told(screened.not_used))
    if found.drift:
        stage.fact("compared_with", f"the dataset of champion version {found.drift.earlier.version}")
    _suggest(found.overview, stage)


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
