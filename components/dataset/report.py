"""The report on a dataset: one HTML page that needs nothing beside itself."""

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from components import wording
from components.dataset.beside import Beside
from components.dataset.config import DatasetConfig
from components.dataset.drift_plot import draw_drift
from components.dataset.examined import Examined
from components.dataset.forms.not_used import told
from components.dataset.plots import draw_lengths, draw_quarantine
from components.dataset.profile import label_bucket
from components.dataset.reasons import reasons
from components.dataset.samples import Marked, samples
from components.storage import atomic_write, full_disk_told
from components.tracking.log import StageLog
from components.web import shown

LENGTHS, QUARANTINED = "Tokens per row", "Quarantined rows"  # the page has the latter as a table
DRIFT = "Compared with the champion's dataset"
TEMPLATE = Path(__file__).with_name("report.html")


def write_report(
    config: DatasetConfig,
    found: Examined,
    marked: Marked | None,
    path: Path,
    stage: StageLog,
    beside: Beside,
) -> None:
    """Write the report and keep it, its pictures and the quarantined rows with the run.

    Args:
        config: What was asked for.
        found: What became of the rows.
        marked: As `render_report` takes it.
        path: Where the page goes.
        stage: Where all of it is kept.
        beside: Draws the pictures.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = folder / "dataset-report.html", folder / "quarantine.jsonl"
        with full_disk_told(Path(gettempdir())):
            pictures = _draw(config, found, folder, beside)
            on_page = {title: pictures[title] for title in pictures if title != QUARANTINED}
            page = render_report(config, found, on_page, marked)
            files[0].write_text(page, encoding="utf-8")
            with files[1].open("w", encoding="utf-8") as file:
                for row in found.screened.quarantined:
                    file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        with atomic_write(path) as report:
            report.write(page.encode())
        for title, picture in pictures.items():
            stage.figure(title, picture)
        for kept in files:
            stage.file(kept)


def _draw(config: DatasetConfig, found: Examined, folder: Path, beside: Beside) -> dict[str, Path]:
    """Draw the pictures of a report and return them by title."""
    screened, drift = found.screened, found.drift
    pictures = {LENGTHS: folder / "token_lengths.png"}
    tokens = screened.train.tokens, screened.eval.tokens, screened.tokens
    beside.call(draw_lengths, *tokens, config.max_length, pictures[LENGTHS]).result()
    if drift:
        pictures[DRIFT] = folder / "drift.png"
        answers = [*found.overview.answers.rare, *found.overview.answers.common]
        names = {label_bucket(answer): answer for answer, _ in answers}
        beside.call(draw_drift, drift, names, pictures[DRIFT]).result()
    if len(screened.quarantined):
        pictures[QUARANTINED] = folder / "quarantined.png"
        counts = dict(screened.quarantined.by_kind().most_common())
        beside.call(draw_quarantine, counts, pictures[QUARANTINED]).result()
    return pictures


def render_report(
    config: DatasetConfig, found: Examined, pictures: Mapping[str, Path], marked: Marked | None = None
) -> str:
    """Return the page; everything that comes from the data is escaped.

    Args:
        config: What was asked for.
        found: What became of the rows.
        pictures: PNG files by title; they are embedded.
        marked: Tells how the model sees a row; None where there is no base model to ask.
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        config=config,
        dataset=shown(config.dataset),
        eval_dataset=shown(config.eval_dataset),
        screened=found.screened,
        overview=found.overview,
        verdict=found.verdict,
        digest=found.digest,
        not_used=told(found.screened.not_used),
        pictures={
            title: base64.b64encode(png.read_bytes()).decode("ascii") for title, png in pictures.items()
        },
        reasons=reasons(found.screened.quarantined),
        samples=samples(found.screened.train, marked),
        drift=found.drift,
        drift_title=DRIFT,
        wording=wording,
    )
