"""What an examination of a dataset has found."""

from dataclasses import dataclass

from components.checks import Verdict
from components.dataset.drift import Drift
from components.dataset.overview import Overview
from components.dataset.screen import Screened


@dataclass(frozen=True)
class Examined:
    """What was found of a dataset whose files could be read.

    Attributes:
        screened: What became of every row.
        overview: What kind of rows they are.
        drift: What has changed since the champion's dataset; None: there is none to compare with.
        verdict: The checks.
        digest: The fingerprint of the accepted rows, `sha256:...`.
        problems: What else stands in the way: a base model that is not there, a file that has changed.
    """

    screened: Screened
    overview: Overview
    drift: Drift | None
    verdict: Verdict
    digest: str
    problems: list[str]
