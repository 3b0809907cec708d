"""Parameters as they are given: a preset, and overrides laid over it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from components.errors import InvalidInput
from components.sources.names import absolute
from pipelines.params import FILES, ReleaseParams

OPTIONS = ("dataset",)  # parameters without a default that have an option of their own
Params = TypeVar("Params", bound=ReleaseParams)


@dataclass(frozen=True)
class Sifted(Generic[Params]):
    """Values, the right ones apart from the wrong ones.

    Attributes:
        params: The right ones; what is wrong has its default, or is not set where there is none.
        wrong: The parameters that are wrong, missing or unknown.
        problems: Why, as `name: what`; empty if all are right.
    """

    params: Params
    wrong: frozenset[str]
    problems: list[str]


def load_params(preset: Path | None, overrides: dict[str, Any]) -> ReleaseParams:
    """Read the parameters of a release on this machine; see `read_params`."""
    return read_params(ReleaseParams, preset, overrides)


def read_params(model: type[Params], preset: Path | None, overrides: dict[str, Any]) -> Params:
    """Read a preset and lay overrides over it.

    Args:
        model: The parameters of this machine, or those of another platform.
        preset: A YAML file of parameters; its relative paths are relative to the file. None: defaults.
        overrides: Values by name, as text or typed; relative paths are relative to the working directory.

    Raises:
        InvalidInput: Every value that is unknown, of a wrong type or out of range.
    """
    sifted = sift(model, read_values(preset, overrides))
    if sifted.problems:
        raise InvalidInput("parameters", sifted.problems)
    return sifted.params


def read_values(preset: Path | None, overrides: dict[str, Any]) -> dict[str, Any]:
    """Return what was given, by name and not checked; see `read_params`.

    Raises:
        InvalidInput: The preset can't be read.
    """
    return {**(_read_preset(preset) if preset else {}), **overrides}


def sift(model: type[Params], values: dict[str, Any]) -> Sifted[Params]:
    """Check values; one that is unknown, of a wrong type or out of range hides no problem of another."""
    try:
        return Sifted(model.model_validate(values), frozenset(), [])
    except ValidationError as error:
        found = [e for e in error.errors() if e["loc"]]
    wrong = {str(e["loc"][0]) for e in found}
    right = {
        name: TypeAdapter(field.rebuild_annotation()).validate_python(values[name])
        for name, field in model.model_fields.items()
        if name in values and name not in wrong
    }
    params = model.model_construct(**right)
    unfit = params.unfit(wrong)
    return Sifted(
        params, frozenset(wrong | unfit.keys()), [*(_problem(e, model) for e in found), *unfit.values()]
    )


def _read_preset(preset: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(preset.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"preset {preset}", [f"could not be read: {error}"]) from error
    if not isinstance(values, dict):
        raise InvalidInput(f"preset {preset}", ["must be a mapping of parameter names to values"])
    for name in FILES:
        value = values.get(name)
        if isinstance(value, str):
            values[name] = absolute(value, preset.parent)
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            values[name] = [absolute(one, preset.parent) for one in value]
    return values


def _problem(error: Any, model: type[ReleaseParams]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        import difflib

        close = difflib.get_close_matches(name, model.model_fields, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; `{model.listed_by}` lists them"
        return f"{name}: no such parameter{hint}"
    if error["type"] == "missing":
        option = f"--{name} or " if name in OPTIONS else ""
        return f"{name}: missing; give {option}--set {name}=..."
    message = error["msg"].removeprefix("Value error, ")
    return f"{name}: got {error['input']!r}, {message[0].lower()}{message[1:]}"
