"""Recurring releases on Kubeflow Pipelines: make, list, pause, resume and delete them."""

from dataclasses import dataclass
from typing import Any

from components.errors import InvalidInput, noted
from components.settings import read_settings
from pipelines.kubeflow.client import PAGE, Client
from pipelines.kubeflow.compile import package_text
from pipelines.kubeflow.connection import NotThere
from pipelines.kubeflow.cron import Cron, read_cron
from pipelines.kubeflow.params import KubeflowParams
from pipelines.kubeflow.settings import ClientSettings, CompileSettings
from pipelines.kubeflow.submit import preflight

SCHEDULED = ("skip_unchanged", "compare_with_champion")


@dataclass(frozen=True)
class Schedule:
    """A recurring release.

    Attributes:
        id: What `pause`, `resume` and `delete` take.
        name: As the UI shows it.
        cron: Its expression; empty for one of another kind.
        enabled: Whether it starts runs.
        url: Its page in the UI.
    """

    id: str
    name: str
    cron: str
    enabled: bool
    url: str


def schedule(
    params: KubeflowParams,
    cron: Cron | str,
    check_data: bool = True,
    settings: ClientSettings | None = None,
) -> Schedule:
    """Start releases again and again: never two at once, and none for times that were missed.

    Args:
        params: The parameters of each; the dataset is read anew each time. Unless they say otherwise, a run
            skips early when the champion was trained on the same dataset, and promotes only what beats it.
        cron: When; six fields, seconds first.
        check_data: Whether the dataset is read from here once, to see that it is there.
        settings: How the back end is reached; by default from the environment.

    Raises:
        InvalidInput: Every problem with expression and parameters.
        TunegateError: The back end can't be reached or refuses.
    """
    import kfp_server_api

    checked, problems = cron if isinstance(cron, Cron) else None, list[str]()
    with noted(problems):
        checked = checked or read_cron(str(cron))
    with noted(problems):
        preflight(params, check_data)
    if checked is None or problems:
        raise InvalidInput("schedule", problems)
    # What was not said otherwise, in a preset or by hand.
    unless_said = {name: True for name in SCHEDULED if name not in params.model_fields_set}
    # A digest that is true today would stop the run when there are new rows, which it is to take.
    params = params.model_copy(update={**unless_said, "dataset_digest": "", "champion_dataset": ""})
    client = Client(settings)
    reference, experiment_id = client.places(package_text(read_settings(CompileSettings)))
    body = kfp_server_api.V2beta1RecurringRun(
        display_name=f"{params.model_name}: {checked.words}",
        description=f"{checked.expression}: {checked.words}",
        experiment_id=experiment_id,
        namespace=client.settings.namespace or None,
        pipeline_version_reference=reference,
        runtime_config=kfp_server_api.V2beta1RuntimeConfig(parameters=params.model_dump(mode="json")),
        service_account=client.settings.service_account or None,
        trigger=kfp_server_api.V2beta1Trigger(
            cron_schedule=kfp_server_api.V2beta1CronSchedule(cron=checked.expression)
        ),
        mode=kfp_server_api.RecurringRunMode.ENABLE,
        max_concurrency="1",
        no_catchup=True,
    )
    service = client.connection.recurring
    made = client.connection.call("new schedule", service.recurring_run_service_create_recurring_run, body)
    return _schedule(client, made)


def schedules(settings: ClientSettings | None = None) -> list[Schedule]:
    """Return the schedules of the experiment."""
    client = Client(settings)
    listing = client.connection.recurring.recurring_run_service_list_recurring_runs
    experiment, found, token = client.find_experiment(), list[Schedule](), ""
    if experiment is None:
        return []
    while True:
        page = client.connection.call(
            "schedules",
            listing,
            experiment_id=experiment,
            namespace=client.settings.namespace,
            page_size=PAGE,
            page_token=token,
        )
        found += [_schedule(client, run) for run in page.recurring_runs or []]
        token = page.next_page_token or ""
        if not token:
            return found


def pause(schedule_id: str, settings: ClientSettings | None = None) -> None:
    """Start no more runs; one that is going on goes on."""
    client = Client(settings)
    _change(client, client.connection.recurring.recurring_run_service_disable_recurring_run, schedule_id)


def resume(schedule_id: str, settings: ClientSettings | None = None) -> None:
    """Start runs again."""
    client = Client(settings)
    _change(client, client.connection.recurring.recurring_run_service_enable_recurring_run, schedule_id)


def delete(schedule_id: str, settings: ClientSettings | None = None) -> None:
    """Forget a schedule; its runs stay."""
    client = Client(settings)
    _change(client, client.connection.recurring.recurring_run_service_delete_recurring_run, schedule_id)


def _change(client: Client, function: Any, schedule_id: str) -> None:
    try:
        client.connection.call(f"schedule {schedule_id}", function, schedule_id)
    except NotThere as error:
        raise NotThere(f"{error}; `tunegate schedule list` shows those that there are") from error


def _schedule(client: Client, run: Any) -> Schedule:
    by_cron = run.trigger.cron_schedule if run.trigger else None
    return Schedule(
        id=str(run.recurring_run_id),
        name=str(run.display_name),
        cron=str(by_cron.cron) if by_cron else "",
        enabled=run.status == "ENABLED",
        url=client.connection.recurring_url(str(run.recurring_run_id)),
    )
