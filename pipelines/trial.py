"""A trial of a sweep in MLflow: opened, closed, read back, and the best of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from components.errors import InvalidInput, TunegateError
from components.tracking import records, runs
from components.tracking.stage import end_abandoned
from components.web import shown
from pipelines.params import FILES, ReleaseParams
from pipelines.reading import read_params

if TYPE_CHECKING:
    from mlflow.entities import Run

Setting = Mapping[str, Any]
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
        params: All parameters; what `run_release` takes. Addresses of files are recorded without their
            credentials and queries: name those anew for a release, `params.model_copy(update=...)`.
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
        return words(self.setting)


def open_trial(trial_id: str, sweep_id: str, setting: Setting, params: ReleaseParams) -> None:
    """Make the run of a trial that is about to start, named after its setting."""
    client = runs.client()
    run_id = runs.parent_run(client, trial_id)
    tags = {SWEEP_TAG: sweep_id, VARIED_TAG: " ".join(setting), NAME_TAG: words(setting)}
    for key, text in tags.items():
        client.set_tag(run_id, key, text)
    files = {name: shown(getattr(params, name)) for name in FILES}
    for key, value in (params.model_dump() | files).items():
        client.log_param(run_id, key, value)


def close_trial(trial_id: str) -> Trial:
    """Sum a trial up in its run, however it ended, so that MLflow's own tables compare it with others."""
    from components.release.outcome import derive_outcome

    client = runs.client()
    run_id = runs.parent_run(client, trial_id)
    end_abandoned(client, trial_id)
    stages = records.recorded_stages(client, trial_id)
    for stage in stages:
        for key, value in stage.record.metrics.items():
            client.log_metric(run_id, key, value)
    verdicts = [verdict for stage in stages for verdict in stage.record.verdicts]
    judged = next((verdict for verdict in verdicts if verdict.stage == "quality"), None)
    passed = judged is not None and judged.passed
    client.set_tag(run_id, STATUS_TAG, judged.status if judged else "broken")
    client.set_tag(run_id, REASON_TAG, "" if passed else derive_outcome(stages).why)
    client.set_terminated(run_id, "FINISHED" if judged else "FAILED")
    return _trial(client.get_run(run_id))


def read_sweep(sweep_id: str) -> list[Trial]:
    """Read the trials of a sweep from MLflow, in their order; of one that was interrupted, those it had.

    Raises:
        InvalidInput: There is no such sweep.
    """
    client = runs.client()
    experiment = client.get_experiment_by_name(runs.EXPERIMENT)
    wanted = f"tags.`{SWEEP_TAG}` = '{sweep_id}'"
    order = ["attributes.start_time ASC"]
    found = client.search_runs([experiment.experiment_id], wanted, order_by=order) if experiment else []
    if not found:
        raise InvalidInput(
            f"sweep {sweep_id!r}", [f"MLflow at {runs.shown_tracking_uri()} has no such sweep"]
        )
    return [_trial(run) for run in found]


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


def _trial(run: "Run") -> Trial:
    tags = run.data.tags
    params = read_params(ReleaseParams, None, dict(run.data.params))
    return Trial(
        trial_id=tags[runs.RELEASE_TAG],
        sweep_id=tags[SWEEP_TAG],
        setting={name: getattr(params, name) for name in tags[VARIED_TAG].split()},
        params=params,
        metrics=dict(run.data.metrics),
        status=cast(Status, tags.get(STATUS_TAG, "broken")),
        why=tags.get(REASON_TAG, "it was stopped before it could finish"),
    )


def words(setting: Setting) -> str:
    """Return a setting as a person writes it."""
    return ", ".join(f"{name}={value}" for name, value in setting.items()) or "as it is"
