"""A validated dataset, for the terminal."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from components import wording
from components.dataset.forms.not_used import told
from components.web import quoted, shown
from pipelines.validate import Validation

COLOURS = {"passed": "green", "failed": "red", "inconclusive": "yellow"}
WHY_CHARACTERS = 160


def validation_view(validation: Validation) -> list[RenderableType]:
    """Draw what was accepted, what was not and why, and where the report is.

    All of it is `Text`, and words of the data are `quoted`: they are a stranger's.
    """
    found, screened = validation.found, validation.found.screened
    name = quoted(shown(validation.config.dataset))
    headline = (
        Text(f"ACCEPTED: a release would take {name}", style="bold green")
        if validation.accepted
        else Text(f"REFUSED: a release would not take {name}", style="bold red")
    )
    problems = [quoted(problem) for problem in (*found.problems, *found.verdict.reasons)]
    counts = (
        f"{screened.rows_in:,} rows: {len(screened.train):,} for training, {len(screened.eval):,} for "
        f"evaluation, {len(screened.quarantined):,} quarantined"
    )
    parts: list[RenderableType] = [headline, *(Text(f"  - {problem}") for problem in problems), Text()]
    parts += [_checks(validation), Text(), Text(counts)]
    if validation.reasons:
        parts += [Text(), _reasons(validation)]
    if screened.not_used:
        parts += [Text(), Text(f"not used: {told(screened.not_used)}")]
    return [*parts, Text(), *_files(validation)]


def _checks(validation: Validation) -> Table:
    table = Table("check", box=None, padding=(0, 2, 0, 0))
    table.add_column("value", justify="right")
    table.add_column("limit", justify="right")
    table.add_column("")
    for check in validation.found.verdict.checks:
        status = Text(check.status, style=COLOURS[check.status])
        table.add_row(
            wording.check_name(check), wording.check_value(check), wording.check_limit(check), status
        )
    return table


def _reasons(validation: Validation) -> Table:
    table = Table("quarantined", box=None, padding=(0, 2, 0, 0))
    table.add_column("rows", justify="right")
    table.add_column("where, and what is wrong with the first", overflow="fold")
    for reason in validation.reasons:
        why = quoted(reason.first[0].reason, WHY_CHARACTERS)
        told = Text.assemble(quoted(reason.places), "\n", (why, "dim"))
        table.add_row(wording.plain(reason.kind), f"{reason.count:,}", told)
    return table


def _files(validation: Validation) -> list[Text]:
    lines = [f"{what:<12}{path}" for what, path in validation.files.items()]
    if len(validation.files) == 1:
        lines.append("--output DIR writes the sets and all quarantined rows, too")
    return [Text(line) for line in [f"{'fingerprint':<12}{validation.found.digest}", *lines]]
