"""A sweep: several settings measured on this machine by the release's own stages, compared from MLflow.

    trials = sweep(params, [{"lora_r": 4}, {"lora_r": 16}])
    run_release(best(trials).params)

A trial ends with the quality gate and serves nothing. The release of a trial's parameters takes dataset,
fine-tuning and evaluation from the cache.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from components import tracking
from components.checks import Verdict
from components.errors import InvalidInput, TunegateError
from components.progress import Progress
from components.settings import home
from pipelines.local import new_id, preflight, retire_leftovers, run_process
from pipelines.lock import exclusive
from pipelines.params import ReleaseParams, read_params

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Setting = Mapping[str, Any]
Follow = Callable[[Progress], None]
Status = Literal["passed", "failed", "inconclusive", "broken"]
SWEEP_TAG = "tunegate.sweep"
VARIED_TAG = "tunegate.varied"
STATUS_TAG = "tunegate.quality"
REASON_TAG = "tunegate.reason"
NAME_TAG = "mlflow.runName"
RANKED_BY = "gain_low"  # what the quality gate holds against the margin


@dataclass(frozen=True)
class Trial:
    """One setting of a sweep and what was measured with it.

    Attributes:
        trial_id: Its id in MLflow, where it looks like a release that was not served.
        sweep_id: What `read_sweep` takes.
        setting: The parameters that differ within the sweep, with their values here.
        params: All parameters; what `run_release` takes.
        metrics: What its stages measured, by the names in MLflow.
        status: What the quality gate said; broken if it was not reached.
        why: Why it did not pass; empty if it did.
    """

    trial_id: str
    sweep_id: str
    setting: dict[str, Any]
    params: ReleaseParams
    metrics: dict[str, float]
    status: Status
    why: str

    @property
    def name(self) -> str:
        """The setting in words."""
        return _words(self.setting)


def sweep(params: ReleaseParams, settings: Sequence[Setting], follow: Follow | None = None) -> list[Trial]:
    """Measure several settings one after another on this machine.

    A trial that breaks, because it doesn't fit into memory for example, is a result too and stops no other.

    Args:
        params: What is the same for all.
        settings: What differs, one mapping of parameters of fine-tuning to values for each trial.
        follow: Called with every line of progress.

    Returns:
        The trials in their order, read from MLflow.

    Raises:
        InvalidInput: Every problem with the settings that can be known before anything is started.
        Busy: Another command is changing the same state directory.
    """
    trials = _checked(params, settings)
    sweep_id = new_id()
    with exclusive(f"sweep {sweep_id}"):
        trials = _preflight(trials, settings)
        retire_leftovers(params.serving_target)
        for number, (setting, trial) in enumerate(zip(settings, trials, strict=True), 1):
            _run(f"{sweep_id}-{number}", sweep_id, setting, trial, follow)
    return read_sweep(sweep_id)


def read_sweep(sweep_id: str) -> list[Trial]:
    """Read the trials of a sweep from MLflow, in their order; of one that was interrupted, those it had.

    Raises:
        InvalidInput: There is no such sweep.
    """
    client = tracking.client()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    wanted = f"tags.`{SWEEP_TAG}` = '{sweep_id}'"
    order = ["attributes.start_time ASC"]
    runs = client.search_runs([experiment.experiment_id], wanted, order_by=order) if experiment else []
    if not runs:
        raise InvalidInput(f"sweep {sweep_id!r}", [f"MLflow at {tracking.tracking_uri()} has no such sweep"])
    return [_trial(run) for run in runs]


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the highest lower end of the gain's interval; whether it ships, the gates say.

    Raises:
        TunegateError: None was measured.
    """
    measured = [trial for trial in trials if RANKED_BY in trial.metrics]
    if not measured:
        reasons = "".join(f"\n  - {trial.name}: {trial.why}" for trial in trials)
        raise TunegateError(f"no trial got as far as the quality gate:{reasons}")
    return max(measured, key=lambda trial: trial.metrics[RANKED_BY])


def _checked(params: ReleaseParams, settings: Sequence[Setting]) -> list[ReleaseParams]:
    """Lay each setting over the parameters.

    Raises:
        InvalidInput: Every problem of every setting.
    """
    from pipelines.trial import VARIED

    trials, problems = [], []
    if not settings:
        problems.append(
            'got none, wanted one mapping for each trial, such as [{"lora_r": 4}, {"lora_r": 16}]'
        )
    for number, setting in enumerate(settings, 1):
        where = f"setting {number} ({_words(setting)})"
        fixed = [name for name in setting if name in ReleaseParams.model_fields and name not in VARIED]
        problems += [
            f"{where}: {name} has to be the same for all trials; those of fine-tuning may differ: "
            f"{', '.join(sorted(VARIED))}"
            for name in fixed
        ]
        earlier = [n for n, other in enumerate(settings[: number - 1], 1) if dict(other) == dict(setting)]
        problems += [f"{where}: is that of setting {n} once more" for n in earlier]
        try:
            trials.append(read_params(ReleaseParams, None, {**params.model_dump(), **setting}))
        except InvalidInput as error:
            problems += [f"{where}: {problem}" for problem in error.problems]
    if problems:
        raise InvalidInput("settings of the sweep", problems)
    # The champion may have seen the dataset: what is asked here is which setting learns most from it.
    return [trial.model_copy(update={"skip_unchanged": False}) for trial in trials]


def _preflight(trials: Sequence[ReleaseParams], settings: Sequence[Setting]) -> list[ReleaseParams]:
    ready, problems = [], []
    for trial in trials:
        try:
            ready.append(preflight(trial))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput("parameters", list(dict.fromkeys(problems)))
    return ready


def _run(
    trial_id: str, sweep_id: str, setting: Setting, params: ReleaseParams, follow: Follow | None
) -> None:
    """Run one trial and close its MLflow run, however it ended."""
    number, words = trial_id.rpartition("-")[2], _words(setting)
    say = follow or (lambda line: None)
    client = tracking.client()
    run_id = tracking.parent_run(client, trial_id)
    tags = {SWEEP_TAG: sweep_id, VARIED_TAG: " ".join(setting), NAME_TAG: words}
    for key, text in tags.items():
        client.set_tag(run_id, key, text)
    for key, value in params.model_dump().items():
        client.log_param(run_id, key, value)
    say(Progress(f"trial-{number}", "started", words))
    folder = home() / "sweeps" / sweep_id / number
    interrupted = run_process(params, trial_id, folder, follow, "--trial")
    closed = _close(client, run_id, trial_id)
    if interrupted:
        raise KeyboardInterrupt
    if closed.status == "broken":
        say(Progress(f"trial-{number}", "failed", closed.why))
    else:
        say(Progress(f"trial-{number}", "finished", f"{words}: quality gate {closed.status}"))


def _close(client: "MlflowClient", run_id: str, trial_id: str) -> Trial:
    """Sum a trial up in its run, so that MLflow's own tables compare it with others."""
    from components.release.outcome import derive_outcome

    tracking.end_abandoned(client, trial_id)
    stages = tracking.recorded_stages(client, trial_id)
    for stage in stages:
        for key, value in stage.record.metrics.items():
            client.log_metric(run_id, key, value)
    verdicts: list[Verdict] = [verdict for stage in stages for verdict in stage.record.verdicts]
    judged = next((verdict for verdict in verdicts if verdict.stage == "quality"), None)
    passed = judged is not None and judged.passed
    client.set_tag(run_id, STATUS_TAG, judged.status if judged else "broken")
    client.set_tag(run_id, REASON_TAG, "" if passed else derive_outcome(stages).why)
    client.set_terminated(run_id, "FINISHED" if judged else "FAILED")
    return _trial(client.get_run(run_id))


def _trial(run: "Run") -> Trial:
    tags = run.data.tags
    params = read_params(ReleaseParams, None, dict(run.data.params))
    return Trial(
        trial_id=tags[tracking.RELEASE_TAG],
        sweep_id=tags[SWEEP_TAG],
        setting={name: getattr(params, name) for name in tags[VARIED_TAG].split()},
        params=params,
        metrics=dict(run.data.metrics),
        status=cast(Status, tags.get(STATUS_TAG, "broken")),
        why=tags.get(REASON_TAG, "it was stopped before it could finish"),
    )


def _words(setting: Setting) -> str:
    return ", ".join(f"{name}={value}" for name, value in setting.items()) or "as it is"
