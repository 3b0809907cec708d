"""A sweep: several settings measured on this machine by the release's own stages, compared from MLflow.

    trials = sweep(params, [{"lora_r": 4}, {"lora_r": 16}])
    run_release(best(trials).params)

A trial ends with the quality gate and serves nothing. The release of a trial's parameters takes dataset,
fine-tuning and evaluation from the cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from components.errors import InvalidInput, noted
from components.progress import Progress
from components.settings import home
from pipelines.local import new_id, retire_leftovers, run_process
from pipelines.lock import exclusive
from pipelines.params import FILES, ReleaseParams
from pipelines.preflight import preflight
from pipelines.reading import read_params
from pipelines.trial import Setting, Trial, close_trial, open_trial, read_sweep, words

Follow = Callable[[Progress], None]


def sweep(params: ReleaseParams, settings: Sequence[Setting], follow: Follow | None = None) -> list[Trial]:
    """Measure several settings one after another on this machine.

    A trial that breaks, because it doesn't fit into memory for example, is a result too and stops no other.

    Args:
        params: What is the same for all.
        settings: What differs, one mapping of parameters of fine-tuning to values for each trial.
        follow: Called with every line of progress.

    Returns:
        The trials in their order, read from MLflow, which has no credentials of the dataset's address.

    Raises:
        InvalidInput: Every problem with the settings that can be known before anything is started.
        Busy: Another command is changing the same state directory.
    """
    trials = _checked(params, settings)
    sweep_id = new_id()
    with exclusive(f"sweep {sweep_id}"):
        trials = _preflight(trials)
        retire_leftovers(params.serving_target)
        for number, (setting, trial) in enumerate(zip(settings, trials, strict=True), 1):
            _run(f"{sweep_id}-{number}", sweep_id, setting, trial, follow or (lambda line: None))
    files = {name: getattr(trials[0], name) for name in FILES}  # as they were given
    return [replace(trial, params=trial.params.model_copy(update=files)) for trial in read_sweep(sweep_id)]


def _checked(params: ReleaseParams, settings: Sequence[Setting]) -> list[ReleaseParams]:
    """Lay each setting over the parameters.

    Raises:
        InvalidInput: Every problem of every setting; if there is one, also of what is the same for all.
    """
    from pipelines.trial_graph import VARIED

    trials, problems = [], []
    if not settings:
        problems.append(
            'got none, wanted one mapping for each trial, such as [{"lora_r": 4}, {"lora_r": 16}]'
        )
    for number, setting in enumerate(settings, 1):
        where = f"setting {number} ({words(setting)})"
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
        with noted(problems):
            preflight(params)
        raise InvalidInput("settings of the sweep", problems)
    # The champion may have seen the dataset: what is asked here is which setting learns most from it.
    return [trial.model_copy(update={"skip_unchanged": False}) for trial in trials]


def _preflight(trials: Sequence[ReleaseParams]) -> list[ReleaseParams]:
    ready, problems = [], []
    for trial in trials:
        try:
            ready.append(preflight(trial))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput("parameters", list(dict.fromkeys(problems)))
    return ready


def _run(trial_id: str, sweep_id: str, setting: Setting, params: ReleaseParams, follow: Follow) -> None:
    """Run one trial and close it, however it ended."""
    number = trial_id.rpartition("-")[2]
    name = f"trial-{number}"
    open_trial(trial_id, sweep_id, setting, params)
    follow(Progress(name, "started", words(setting)))
    interrupted = run_process(params, trial_id, home() / "sweeps" / sweep_id / number, follow, "--trial")
    trial = close_trial(trial_id)
    if interrupted:
        raise KeyboardInterrupt
    if trial.status == "broken":
        follow(Progress(name, "failed", trial.why))
    else:
        follow(Progress(name, "finished", f"quality gate {trial.status}"))
