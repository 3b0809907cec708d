"""The release: one graph from a dataset to a promoted model, with two gates that can refuse it."""

from typing import Any

from kfp import dsl

from components.dataset.component import validate_dataset
from components.evaluate.component import evaluate, quality_gate
from components.finetune.component import finetune
from components.image.component import push_image
from components.loadtest.component import service_gate, stress
from components.release.component import close_release, promote, refuse
from components.serve.component import deploy
from pipelines.graph import cached, fresh, release_pipeline
from pipelines.params import ReleaseParams


def wire(p: Any) -> None:
    """Dataset to promoted model; nothing is deployed or promoted that a gate has not passed."""
    closing = fresh(close_release, p)
    with dsl.ExitHandler(closing, name="release"):
        data = cached(validate_dataset, p)
        train_set, eval_set = data.outputs["train_set"], data.outputs["eval_set"]
        adapter = cached(finetune, p, train_set=train_set).outputs["adapter"]
        scores = cached(evaluate, p, adapter=adapter, eval_set=eval_set).outputs["scores"]
        quality = fresh(quality_gate, p, scores=scores)
        with dsl.If(quality.outputs["Output"] == True, name="quality-passed"):  # noqa: E712
            image = cached(push_image, p, adapter=adapter, scores=scores, train_set=train_set).outputs[
                "image"
            ]
            candidate = fresh(deploy, p, image=image).outputs["deployment"]
            results = fresh(stress, p, deployment=candidate, eval_set=eval_set).outputs["results"]
            service = fresh(service_gate, p, results=results)
            with dsl.If(service.outputs["Output"] == True, name="service-passed"):  # noqa: E712
                fresh(
                    promote,
                    p,
                    deployment=candidate,
                    scores=scores,
                    quality_verdict=quality.outputs["verdict"],
                    service_verdict=service.outputs["verdict"],
                )
            with dsl.Else(name="service-refused"):
                fresh(refuse, p, verdict=service.outputs["verdict"])
        with dsl.Else(name="quality-refused"):
            fresh(refuse, p, verdict=quality.outputs["verdict"])


release = release_pipeline(wire, ReleaseParams)
