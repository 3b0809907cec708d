"""What one stage did, as a page that the Kubeflow Pipelines UI shows beside it."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from components import wording
from components.checks import Verdict
from components.tracking import runs
from components.tracking.records import StageRecord
from components.tracking.stage import Stage


def write_page(stage: Stage, path: Path) -> None:
    """Write the page of a stage that has finished, as Markdown."""
    experiment = stage.client.get_run(stage.run_id).info.experiment_id
    address, served = runs.runs_address(experiment)
    where = f"[This stage in MLflow]({address}{stage.run_id})"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_page(stage.record, where if served else f"MLflow run {stage.run_id}"), "utf-8")


def render_page(record: StageRecord, where: str) -> str:
    """Return the page: verdicts first, then facts and figures.

    Args:
        record: What the stage did.
        where: Where more is to be found.
    """
    parts = [f"# {record.stage}", f"{where}; took {wording.duration(record.seconds)}"]
    parts += [_verdict(verdict) for verdict in record.verdicts]
    if record.facts:
        parts.append(_table(("", ""), ((wording.plain(k), v) for k, v in record.facts.items())))
    judged = {check.name for verdict in record.verdicts for check in verdict.checks}
    measured = {name: value for name, value in record.metrics.items() if name not in judged}
    if measured:
        rows = ((wording.plain(name), wording.number(value)) for name, value in measured.items())
        parts.append(_table(("measured", "value"), rows))
    return "\n\n".join(parts) + "\n"


def _verdict(verdict: Verdict) -> str:
    rows = (
        (
            wording.check_name(check),
            wording.check_value(check),
            wording.check_limit(check),
            wording.check_margin(check),
            check.status,
            check.why,
        )
        for check in verdict.checks
    )
    table = _table(("check", "value", "limit", "margin", "status", "why"), rows)
    return f"## {verdict.stage}: {verdict.status}\n\n{table}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    """Keep a text in its cell, and what looks like markup in it as text."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
