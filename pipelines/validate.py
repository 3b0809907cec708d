"""The dataset stage by itself: what a release would make of a dataset, without starting one."""

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from components.dataset.config import DatasetConfig
from components.dataset.drift import LIMITS, Earlier, is_limited
from components.dataset.earlier import earlier_dataset
from components.dataset.examined import Examined
from components.dataset.reasons import Reason, reasons
from components.dataset.validate import examine
from components.errors import InvalidInput, TunegateError
from components.models.tokenizer import spare_torch
from components.settings import make_home
from components.sources.names import file_name
from components.tracking.log import LocalLog
from components.web import shown
from pipelines.interrupt import interruptible
from pipelines.params import ReleaseParams
from pipelines.reading import read_values, sift
from pipelines.tracker import check_answers, has_records

# What a folder of `--output` holds, by what the answer calls it.
FILES = {
    "report": "dataset-report.html",
    "train": "train.jsonl",
    "eval": "eval.jsonl",
    "quarantine": "quarantine.jsonl",
}
REPORTS_KEPT = 20
COMPARED = frozenset({"model_name", "champion_dataset"})  # say with what a release compares its dataset
_UNFINISHED = ".unfinished-"


@dataclass(frozen=True)
class Validation:
    """What a release would make of a dataset.

    Attributes:
        config: What was asked for.
        found: What was found.
        files: Where things were written, by what they are.
    """

    config: DatasetConfig
    found: Examined
    files: dict[str, Path]

    @property
    def accepted(self) -> bool:
        """Whether a release would take it."""
        return self.found.verdict.passed and not self.found.problems

    @cached_property
    def reasons(self) -> list[Reason]:
        """Why rows were set aside, most rows first."""
        return reasons(self.found.screened.quarantined)

    def as_json(self) -> dict[str, Any]:
        """Return it as programs read it."""
        screened, verdict = self.found.screened, self.found.verdict
        return {
            "dataset": shown(self.config.dataset),
            "eval_dataset": shown(self.config.eval_dataset),
            "status": "accepted" if self.accepted else "refused",
            "rows": screened.rows_in,
            "accepted": {"train": len(screened.train), "eval": len(screened.eval)},
            "quarantined": len(screened.quarantined),
            "reasons": {reason.kind: reason.count for reason in self.reasons},
            "not_used": screened.not_used,
            "checks": [check.model_dump() for check in verdict.checks],
            "problems": self.found.problems,
            "fingerprint": self.found.digest,
            "files": {name: str(path) for name, path in self.files.items()},
        }


def read_config(
    preset: Path | None, overrides: dict[str, Any], problems: Sequence[str] = (), model_name: str = ""
) -> DatasetConfig:
    """Read the parameters of the dataset stage.

    Args:
        preset: As `read_params` takes it; it may hold those of a whole release, whose others are not used.
        overrides: Values by name; others than those of the stage are refused.
        problems: What is wrong already; it is told with the rest.
        model_name: Whose champion's dataset it is compared with; empty: nobody's, whatever a preset says.

    Raises:
        InvalidInput: Every value that is unknown, of another stage, of a wrong type or out of range.
    """
    ours = DatasetConfig.model_fields.keys() & ReleaseParams.model_fields.keys() - COMPARED
    others = [
        f"{name}: is of a later stage, and the dataset does not depend on it; leave it out here"
        for name in overrides
        if name in ReleaseParams.model_fields and name not in ours | COMPARED
    ]
    others += [f"{name}: say it as --model NAME" for name in overrides if name in COMPARED]
    if not model_name:
        others += [
            f"{name}: limits what differs from a champion's dataset; name the champion's model with --model"
            for name in overrides
            if name in LIMITS
        ]
    sifted = sift(ReleaseParams, read_values(preset, overrides))
    wrong = [
        problem
        for problem in sifted.problems
        if (name := problem.partition(":")[0]) in ours or name not in ReleaseParams.model_fields
    ]
    if found := [*problems, *others, *wrong]:
        raise InvalidInput("parameters", found)
    return DatasetConfig(model_name=model_name, **{name: getattr(sifted.params, name) for name in ours})


def validate_alone(config: DatasetConfig, output: Path | None, say: Callable[[str], None]) -> Validation:
    """Examine a dataset as the first stage of a release does, and record nothing in MLflow.

    MLflow is asked only where the dataset is to be compared with a champion's.

    Args:
        config: The dataset and its limits.
        output: A folder for the sets, the quarantine and the report. None: the report alone is kept, in the
            state directory, with the newest of those before it.
        say: Is told each step of progress.

    Raises:
        InvalidInput: The dataset can't be read, there is no champion's to compare it with though one was
            named, or the folder holds something else.
        TunegateError: Nothing can be written there.
    """
    spare_torch()
    if is_limited(config) and not config.model_name:
        say("not compared with a champion's dataset, though its parameters limit what differs: --model NAME")
    if output is not None:
        folder, kept = output, {what: output / name for what, name in FILES.items()}
        _check_output(folder)
    else:
        folder = make_home() / "validations"
        kept = {"report": folder / _report_name(config)}
    earlier = _earlier(config.model_name) if config.model_name else None
    with interruptible(), _filled(folder) as new:
        paths = {what: new / name for what, name in FILES.items()}
        found = examine(config, paths["train"], paths["eval"], paths["report"], LocalLog(say, new), earlier)
        for what, path in kept.items():
            paths[what].replace(path)
    if output is None:
        for old in sorted(folder.glob("*.html"))[:-REPORTS_KEPT]:
            old.unlink(missing_ok=True)
    return Validation(config, found, kept)


def _earlier(model_name: str) -> Earlier:
    """Return the dataset of the champion of a model.

    Raises:
        InvalidInput: There is none, or MLflow can't be asked.
    """
    from components.tracking import runs

    why: list[str] = []
    try:
        found = None
        if has_records():
            check_answers(runs.tracking_uri())
            found = earlier_dataset(runs.client(), model_name, why.append)
    except OSError as error:
        why.append(f"MLflow at {runs.shown_tracking_uri()} does not answer: {shown(str(error))}")
    if found is None:
        nobody = f"MLflow at {runs.shown_tracking_uri()} knows no champion of that name"
        raise InvalidInput(f"--model {model_name}", why or [nobody])
    return found


def _check_output(folder: Path) -> None:
    """Refuse a folder that holds what is not ours: it would be taken for a part of the answer."""
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"--output {folder}", ["is a file; wanted a folder"])
    names = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if others := sorted(
        name for name in names.difference(FILES.values()) if not name.startswith(_UNFINISHED)
    ):
        problem = (
            f"holds {others[0]!r}, which is no file of a validation; wanted a folder that is new or empty"
        )
        raise InvalidInput(f"--output {folder}", [problem])


@contextmanager
def _filled(folder: Path) -> Iterator[Path]:
    """Give a place beside a folder's files to write new ones; what is not taken from there is gone."""
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=folder) as new:
            yield Path(new)
    except OSError as error:
        raise TunegateError(f"{folder}: {error.strerror}; nothing new was kept there") from error
    finally:
        if made:
            with suppress(OSError):
                folder.rmdir()  # only if it is still empty


def _report_name(config: DatasetConfig) -> str:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", file_name(shown(config.dataset)))[:60]
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{stem}.html"
