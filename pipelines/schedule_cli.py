"""`tunegate schedule`: recurring releases on Kubeflow Pipelines."""

from typing import Annotated

import typer

from pipelines.cli_options import Preset, Set, overrides, shown_errors

app = typer.Typer(no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Schedule id, from `tunegate schedule list`.")]


@app.callback(invoke_without_command=True)
def make(
    context: typer.Context,
    cron: Annotated[
        str | None, typer.Option(help='When: six fields, seconds first, such as "0 0 3 * * 1".')
    ] = None,
    preset: Preset = None,
    dataset: Annotated[str | None, typer.Option(help="Training rows: URL.")] = None,
    eval_dataset: Annotated[str | None, typer.Option(help="Held-out rows: URL.")] = None,
    base_model: Annotated[str | None, typer.Option(help="Hub id of the model to adapt.")] = None,
    set_: Set = None,
    check: Annotated[bool, typer.Option(help="Read the dataset from here first.")] = True,
) -> None:
    """Start releases on a schedule: never two at once, none for times that were missed."""
    if context.invoked_subcommand:
        return
    from components.errors import InvalidInput, noted
    from pipelines.kubeflow.cron import read_cron
    from pipelines.kubeflow.schedule import schedule
    from pipelines.kubeflow.submit import read_submission

    with shown_errors():
        when, params, problems = None, None, list[str]()
        with noted(problems):
            if cron is None:
                raise InvalidInput("--cron", ['is missing, such as --cron "0 0 3 * * 1"'])
            when = read_cron(cron)
        with noted(problems):
            own = overrides(set_, dataset=dataset, eval_dataset=eval_dataset, base_model=base_model)
            params = read_submission(preset, *own, check_data=check)
        if when is None or params is None:
            raise InvalidInput("schedule", problems)
        typer.echo(f"{when.expression}: {when.words}")
        for time in when.next_times:
            typer.echo(
                f"  next  {time:%a %Y-%m-%d %H:%M:%S}, in the time zone of the installation (mostly UTC)"
            )
        made = schedule(params, when, check_data=False)
    typer.echo(f"id      {made.id}\npage    {made.url}")


@app.command("list")
def list_() -> None:
    """List the schedules."""
    from rich.console import Console
    from rich.table import Table

    from pipelines.kubeflow.schedule import schedules

    with shown_errors():
        found = schedules()
    if not found:
        typer.echo("No schedule yet; `tunegate schedule --cron ...` makes one.")
        return
    table = Table("id", "state", "cron", "name", box=None, padding=(0, 2, 0, 0))
    table.columns[0].no_wrap = True  # an id that is folded can't be copied
    for one in found:
        table.add_row(one.id, "on" if one.enabled else "paused", one.cron, one.name)
    Console(highlight=False).print(table)


@app.command()
def pause(schedule_id: Id) -> None:
    """Start no more runs; one that is going on goes on."""
    from pipelines.kubeflow.schedule import pause as change

    with shown_errors():
        change(schedule_id)
    typer.echo(f"{schedule_id} is paused")


@app.command()
def resume(schedule_id: Id) -> None:
    """Start runs again."""
    from pipelines.kubeflow.schedule import resume as change

    with shown_errors():
        change(schedule_id)
    typer.echo(f"{schedule_id} is on")


@app.command()
def delete(schedule_id: Id) -> None:
    """Forget a schedule; its runs stay."""
    from pipelines.kubeflow.schedule import delete as change

    with shown_errors():
        change(schedule_id)
    typer.echo(f"{schedule_id} is deleted")
