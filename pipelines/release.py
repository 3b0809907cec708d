"""The release: one graph from a dataset to a promoted model, with two gates that can refuse it."""

from typing import Any

from kfp import dsl

from components.dataset.component import validate_dataset
from components.evaluate.component import evaluate, quality_gate
from components.finetune.component import finetune
from components.image.component import push_image
from components.loadtest.component import service_gate, stress
from components.release.component import UNCHANGED, close_release, find_champion, promote, refuse
from components.serve.component import deploy
from pipelines.graph import cached, fresh, release_pipeline
from pipelines.params import ReleaseParams


def wire(p: Any) -> None:
    """Dataset to promoted model; nothing is deployed or promoted that a gate has not passed."""
    closing = fresh(close_release, p)
    with dsl.ExitHandler(closing, name="release"):
        data = cached(validate_dataset, p).outputs
        champion = fresh(find_champion, p, train_set=data["train_set"]).outputs["Output"]
        with dsl.If(champion != UNCHANGED, name="something-new"):
            train_and_judge(p, data, champion)


def train_and_judge(p: Any, data: Any, champion: Any) -> None:
    """Fine-tune and evaluate; what passes the quality gate is served on trial."""
    adapter, scores, quality = measure(p, data, champion)
    with dsl.If(quality["Output"] == True, name="quality-passed"):  # noqa: E712
        shipped = {"adapter": adapter, "scores": scores, "train_set": data["train_set"]}
        image = cached(push_image, p, **shipped).outputs["image"]
        serve_and_judge(p, image, data["eval_set"], scores, quality["verdict"])
    with dsl.Else(name="quality-refused"):
        fresh(refuse, p, verdict=quality["verdict"])


def measure(p: Any, data: Any, champion: Any) -> tuple[Any, Any, Any]:
    """Fine-tune, evaluate and judge the quality; return the adapter, its scores and what the gate says."""
    learned = {"train_set": data["train_set"], "train_tokens": data["train_tokens"]}
    adapter = cached(finetune, p, **learned).outputs["adapter"]
    contenders = {"adapter": adapter, "champion_version": champion}
    scores = cached(evaluate, p, eval_set=data["eval_set"], **contenders).outputs["scores"]
    return adapter, scores, fresh(quality_gate, p, scores=scores).outputs


def serve_and_judge(p: Any, image: Any, eval_set: Any, scores: Any, quality_verdict: Any) -> None:
    """Deploy and stress; what passes the service gate too takes the live traffic."""
    candidate = fresh(deploy, p, image=image).outputs["deployment"]
    results = fresh(stress, p, deployment=candidate, eval_set=eval_set).outputs["results"]
    service = fresh(service_gate, p, results=results).outputs
    verdicts = {"quality_verdict": quality_verdict, "service_verdict": service["verdict"]}
    with dsl.If(service["Output"] == True, name="service-passed"):  # noqa: E712
        fresh(promote, p, deployment=candidate, scores=scores, **verdicts)
    with dsl.Else(name="service-refused"):
        fresh(refuse, p, verdict=service["verdict"])


release = release_pipeline(wire, ReleaseParams)
