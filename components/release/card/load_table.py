"""What the users of each scenario saw, on the release card."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components import wording
from components.tracking.records import StageRecord

COLUMNS = (
    ("requests", "Requests", ""),
    ("failed_share", "Failed", "share"),
    ("goodput", "Goodput", "share"),
    ("ttft_p50_ms", "TTFT p50", "ms"),
    ("ttft_p95_ms", "TTFT p95", "ms"),
    ("itl_p95_ms", "ITL p95", "ms"),
    ("requests_per_s", "Requests/s", ""),
    ("output_tokens_per_s", "Tokens/s", ""),
)


@dataclass(frozen=True)
class LoadRow:
    """One kind of users in one scenario, a text for each of `COLUMNS`."""

    scenario: str
    values: tuple[str, ...]


def load_rows(records: Sequence[StageRecord]) -> Iterator[LoadRow]:
    """Yield a row for each `<scenario>_requests` and `<scenario>_<users>_requests` among the metrics."""
    for record in records:
        if record.stage != "stress":
            continue
        stems = [name.removesuffix("_requests") for name in record.metrics if name.endswith("_requests")]
        for stem in stems:
            of = next((other for other in stems if stem.startswith(f"{other}_")), "")
            users = stem.removeprefix(f"{of}_")
            label = f"{wording.plain(of)}, {wording.plain(users)} users" if of else wording.plain(stem)
            found = [(record.metrics.get(f"{stem}_{name}"), unit) for name, _, unit in COLUMNS]
            yield LoadRow(
                label,
                tuple("" if value is None else _short(value, unit) for value, unit in found),
            )


def _short(value: float, unit: str) -> str:
    return wording.quantity(round(value, 1), unit) if not unit else wording.quantity(value, unit)
