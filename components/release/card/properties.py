"""What the release card says in a word or a number: what was released, and what to read first."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components import wording
from components.release.card.closest import closest_check
from components.release.card.comparison import comparisons
from components.release.card.facts import ReleaseFacts
from components.tracking.records import StageRecord

HALF_ROW_CHARACTERS = 42
_LABELS = {
    "dataset": "Dataset",
    "dataset_fingerprint": "Dataset fingerprint",
    "base_model": "Base model",
    "base_model_revision": "Base model revision",
    "adapter_digest": "Adapter",
    "image": "Adapter image",
    "image_digest": "Image digest",
    "model_version": "Registered version",
    "endpoint": "Endpoint",
    "champion_version": "Champion",
    "previous_version": "Previous champion",
    "retired": "Retired deployment",
    "deployment": "Deployment",
    "left_behind": "Left behind",
    "serving": "Goes on serving",
}
_ELSEWHERE = frozenset({"reasons", "refused_by", "seed"})  # in the headline or among the parameters
_TRAINING = (
    ("train_loss", "Loss at the end", ""),
    ("tokens_per_s", "Speed", "tokens/s"),
    ("train_tokens", "Tokens", ""),
    ("steps", "Steps", ""),
    ("train_seconds", "Time", "s"),
    ("peak_memory_gib", "Peak memory", "GiB"),
    ("rows_left_out", "Rows left out", ""),
)


@dataclass(frozen=True)
class Fact:
    """One labelled text; `full` is the whole of a text that is shortened."""

    label: str
    text: str
    full: str = ""

    @property
    def wide(self) -> bool:
        """Whether half a row is too narrow for it."""
        return len(self.text) > HALF_ROW_CHARACTERS


def properties(facts: ReleaseFacts, records: Sequence[StageRecord]) -> Iterator[Fact]:
    """Yield what was released, out of the facts of its stages."""
    found: dict[str, str] = {}
    for record in records:
        if "base_model" in record.params:
            found.setdefault("base_model", str(record.params["base_model"]))
        found |= {name: text for name, text in record.facts.items() if name not in _ELSEWHERE and text}
        if record.stage == "deploy":
            found.pop("endpoint", None)  # the candidate's own, not the one that clients are given
    if "champion_version" in found:
        found.pop("model_version", None)
    for name in ("model_version", "champion_version", "previous_version"):
        if name in found:
            found[name] = f"version {found[name]}"
    if "endpoint" in found:
        found["endpoint"] += "/v1"
    elif facts.serving is not None:
        version = f"version {facts.serving.version}, " if facts.serving.version else ""
        found["serving"] = f"{version}{facts.serving.deployment}, at {facts.serving.endpoint}/v1"
    order = [*_LABELS, *(name for name in found if name not in _LABELS)]
    shown: set[str] = set()
    if found.get("retired") == found.get("deployment"):
        found.pop("deployment", None)
    for name in order:
        # A digest that stands in the image's reference already is not said twice.
        if name not in found or ("sha256:" in found[name] and any(found[name] in text for text in shown)):
            continue
        shown.add(found[name])
        label = (
            "Goes on serving" if name == "serving" else _LABELS.get(name, wording.plain(name).capitalize())
        )
        short = wording.short_digest(found[name])
        yield Fact(label, short, found[name] if short != found[name] else "")


def headline_figures(records: Sequence[StageRecord]) -> Iterator[Fact]:
    """Choose what to read first: the gain, how much was checked, what is closest to its limit."""
    judged = next((r.params.get("quality_metric") for r in records if r.stage == "quality-gate"), None)
    for pair in comparisons(records):
        if pair.name == wording.plain(str(judged)):
            base, tuned = (wording.quantity(value, "share") for value in (pair.base, pair.tuned))
            yield Fact(f"{pair.name}, base to fine-tuned", f"{base} → {tuned}")
    checks = [check for record in records for verdict in record.verdicts for check in verdict.checks]
    if not checks:
        return
    passed = [check for check in checks if check.status == "passed"]
    yield Fact("Checks passed", f"{len(passed)} of {len(checks)}")
    closest = closest_check(checks) if len(passed) == len(checks) else None
    if closest is not None:
        yield Fact(
            f"Closest to its limit: {wording.check_name(closest)}",
            wording.check_value(closest),
            f"limit {wording.check_limit(closest)}",
        )


def training_figures(records: Sequence[StageRecord]) -> list[Fact]:
    """Return how the training went."""
    for record in records:
        if record.stage == "finetune":
            found = record.metrics
            return [
                Fact(label, wording.quantity(found[name], unit))
                for name, label, unit in _TRAINING
                if name in found
            ]
    return []
