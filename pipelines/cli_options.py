"""What the commands share: options, and how an error is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

EXIT_CODES = {
    "promoted": 0,
    "accepted": 0,
    "skipped": 0,
    "failed": 1,
    "unknown": 1,
    "refused": 3,
    "interrupted": 130,
    "cancelled": 130,
}

Preset = Annotated[Path | None, typer.Option(help="YAML file of parameters.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any parameter; see `params`.")
]


def overrides(pairs: list[str] | None, **named: str | None) -> tuple[dict[str, Any], list[str]]:
    """Read what was given by `--set NAME=VALUE` and, which wins, by options of their own.

    Returns:
        Values by name, still text, which pydantic reads by the parameter's type; and a problem for each
        pair that is none.
    """
    pairs = pairs or []
    problems = [f"--set: got {pair!r}, wanted NAME=VALUE" for pair in pairs if "=" not in pair]
    split = (pair.partition("=") for pair in pairs if "=" in pair)
    given = {name.strip(): value for name, _, value in split}
    return given | {name: value for name, value in named.items() if value is not None}, problems


@contextmanager
def shown_errors() -> Iterator[None]:
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
