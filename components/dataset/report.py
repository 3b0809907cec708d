"""The report on a dataset: one HTML page that needs nothing beside itself."""

import base64
from collections.abc import Mapping
from pathlib import Path

from components import wording
from components.checks import Verdict
from components.dataset.config import DatasetConfig
from components.dataset.forms.not_used import told
from components.dataset.overview import Overview
from components.dataset.reasons import reasons
from components.dataset.samples import Marked, samples
from components.dataset.screen import Screened
from components.web import shown

TEMPLATE = Path(__file__).with_name("report.html")


def render_report(
    config: DatasetConfig,
    screened: Screened,
    overview: Overview,
    verdict: Verdict,
    digest: str,
    pictures: Mapping[str, Path],
    marked: Marked | None = None,
) -> str:
    """Return the page; everything that comes from the data is escaped.

    Args:
        config: What was asked for.
        screened: What became of the rows.
        overview: What kind of rows they are.
        verdict: The checks.
        digest: The dataset's fingerprint.
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
        screened=screened,
        overview=overview,
        verdict=verdict,
        digest=digest,
        not_used=told(screened.not_used),
        pictures={
            title: base64.b64encode(png.read_bytes()).decode("ascii") for title, png in pictures.items()
        },
        reasons=reasons(screened.quarantined),
        samples=samples(screened.train, marked),
        wording=wording,
    )
