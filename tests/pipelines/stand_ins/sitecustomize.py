"""Stands in for the stages' logic in every process of a graph test; Python imports it at start-up.

Each stage appends its name to the file `STAND_IN_LOG`. `STAND_IN_VERDICTS` (JSON, stage to status)
says what the gates find; `STAND_IN_FAILS` names a stage that raises, `STAND_IN_HANGS` one that never
ends; the knobs of each stage go to the file `STAND_IN_PARAMS` as JSON.
"""

import contextlib
import json
import os
import sys
import time
import types
from pathlib import Path

SCALARS = (str, int, float, bool)


class Config:
    def __init__(self, **values):
        self.values = values

    @classmethod
    def of(cls, arguments, **others):
        return cls(**arguments, **others)


class Stage(types.SimpleNamespace):
    def model_dump_json(self):
        return "{}"


@contextlib.contextmanager
def run_stage(name, config, page, reads=(), makes=(), metrics=()):
    from components.progress import report

    report(name, "started", "")
    report(name, "step", "what no Latin alphabet has: ≥ ✓")
    with open(os.environ["STAND_IN_LOG"], "a") as log:
        log.write(name + "\n")
    if "STAND_IN_PARAMS" in os.environ:
        with open(os.environ["STAND_IN_PARAMS"], "a") as log:
            knobs = {key: value for key, value in config.values.items() if isinstance(value, SCALARS)}
            log.write(json.dumps({name: knobs}) + "\n")
    if os.environ.get("STAND_IN_FAILS") == name:
        raise RuntimeError(f"{name} was told to fail")
    if os.environ.get("STAND_IN_HANGS") == name:
        time.sleep(600)
    yield Stage(run_id=f"run-of-{name}", record=Stage(metrics={"measured": 1.0}))
    for output in (page, *metrics):
        Path(output.path).write_text("{}")
    for artifact in makes:
        artifact.metadata["mlflow_run_id"] = f"run-of-{name}"


def module(name, **names):
    made = types.ModuleType(name)
    made.__dict__.update(names)
    sys.modules[name] = made


def note(name):
    def noted(*arguments):
        with open(os.environ["STAND_IN_LOG"], "a") as log:
            log.write(name + "\n")
        return arguments

    return noted


def verdict(name):
    def judge(config, path, stage):
        from components.checks import Check, Verdict

        assert path.is_file(), path
        status = json.loads(os.environ["STAND_IN_VERDICTS"])[name]
        check = Check(name="c", value=1, limit=1, bound="min", unit="share", status=status, why="told so")
        return Verdict(stage=name, checks=(check,))

    return judge


def write(value, *places):
    """Return a function that writes a small file to its arguments at `places` and returns `value`."""

    def written(*arguments):
        for place in places:
            Path(arguments[place]).write_text("{}")
        return value

    return written


def train(config, train_path, adapter_path, stage, tokens_path):
    assert train_path.is_file() and tokens_path.is_file()
    adapter_path.mkdir(parents=True)
    return "sha256:adapter"


class Spec(Stage):
    adapter_digest = "sha256:adapter"

    def write(self, path):
        path.write_text("{}")


EVALUATED = Stage(adapter_digest="sha256:adapter", base_revision="1")


class Pushed:
    reference = "registry/name@sha256:image"

    def model_dump_json(self, indent):
        return "{}"


if "STAND_IN_LOG" in os.environ:
    module("mlflow")  # which the fork server of the stages would spend seconds on
    module("components.tracking.runs", RUN_KEY="mlflow_run_id")
    module("components.tracking.shell", run_stage=run_stage)
    module("components.dataset.validate", DatasetConfig=Config, validate=write("sha256:data", 1, 2, 3, 5))
    module("components.finetune.train", FinetuneConfig=Config, train=train)
    module("components.evaluate.compare", EvaluateConfig=Config, compare=write(EVALUATED, 3))
    module("components.evaluate.agreement", CATEGORIES=["a", "b"], agreement=lambda _: [[1, 2], [3, 4]])
    module("components.evaluate.gate", QualityGateConfig=Config, judge_quality=verdict("quality"))
    module("components.image.push", ImageConfig=Config, push=lambda *_: Pushed())
    module("components.serve.deploy", DeployConfig=Config, deploy_candidate=lambda *_: Spec())
    module("components.loadtest.config", StressConfig=Config)
    module("components.loadtest.stress", run_stress=write(None, 3))
    module("components.loadtest.gate", ServiceGateConfig=Config, judge_service=verdict("service"))
    module(
        "components.release.standing",
        UNCHANGED="unchanged",
        StandingConfig=Config,
        champion_to_beat=lambda *_: os.environ.get("STAND_IN_CHAMPION", ""),
    )
    nothing = {"registry_problems": lambda *_: [], "serving_problems": lambda *_: []}
    module("components.release.targets", check_targets=lambda *_: None, **nothing)
    module(
        "components.release.promotion",
        EndConfig=Config,
        promote_candidate=note("promoted"),
        refuse_candidate=note("refused"),
    )
    module("components.release.settling", settle_before=lambda *_: None)
    module("components.release.leftovers", retire_left=lambda *_: None)
    module("components.release.closing", close=note("closed"))
    module("components.release.ending", outcome=lambda release: "promoted")
    module("pipelines.status", result_view=lambda result, model_name: [f"it ended: {result.ending}"])
