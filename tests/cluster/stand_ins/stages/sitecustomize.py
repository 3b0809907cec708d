"""Stands in for the stages with a model in them; those that touch registry, cluster and MLflow are real.

Python imports it at the start of every process of a release. The adapter differs with `--set seed=...`.
"""

import json
import sys
import types
from pathlib import Path

ROWS = 12


class Config:
    def __init__(self, **values):
        self.values = values

    @classmethod
    def of(cls, arguments, **others):
        return cls(**arguments, **others)

    def recorded(self):
        return {key: value for key, value in self.values.items() if isinstance(value, str | int | float)}


def module(name, **names):
    made = types.ModuleType(name)
    made.__dict__.update(names)
    sys.modules[name] = made


def validate(config, train_path, eval_path, report_path, stage, tokens_path):
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What costs item {number}?"},
                {"role": "assistant", "content": f"{number} dollars"},
            ]
        }
        for number in range(ROWS)
    ]
    for path in (train_path, eval_path):
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    report_path.write_text("<p>A stand-in.</p>")
    tokens_path.write_text("tokens")
    return "sha256:data"


def train(config, train_path, adapter_path, stage, tokens_path):
    from components.oci.adapters import adapter_digest

    adapter_path.mkdir(parents=True)
    (adapter_path / "adapter_config.json").write_text('{"r": 4}')
    (adapter_path / "adapter_model.safetensors").write_text(f"weights of seed {config.values['seed']}")
    return adapter_digest(adapter_path)


def compare(config, adapter_path, eval_path, scores_path, stage):
    from components.oci.adapters import adapter_digest

    digest = adapter_digest(adapter_path)
    scores_path.write_text(digest)
    return types.SimpleNamespace(adapter_digest=digest, base_revision="1")


def judge_quality(config, scores_path, stage):
    from components.checks import Check, Verdict

    check = Check(name="c", value=1, limit=1, bound="min", unit="share", status="passed", why="a stand-in")
    verdict = Verdict(stage="quality", checks=(check,), adapter_digest=Path(scores_path).read_text())
    stage.verdict(verdict)
    return verdict


module("components.dataset.validate", DatasetConfig=Config, validate=validate)
module("components.finetune.train", FinetuneConfig=Config, train=train)
module("components.evaluate.compare", EvaluateConfig=Config, compare=compare)
module("components.evaluate.agreement", CATEGORIES=["a", "b"], agreement=lambda scores: [[1, 2], [3, 4]])
module("components.evaluate.gate", QualityGateConfig=Config, judge_quality=judge_quality)
