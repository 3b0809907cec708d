"""How the graph is wired: parameters from `ReleaseParams`, cache keys that see the source."""

import functools
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

from kfp import dsl

from pipelines.params import ReleaseParams

COMPONENTS = Path(__file__).parent.parent / "components"
SOURCE_VARIABLE = "TUNEGATE_STAGE_SOURCE"


def from_params(function: Callable[[Any], None]) -> Callable[..., None]:
    """Give a pipeline function that takes one namespace the signature that KFP reads from `ReleaseParams`."""
    fields = ReleaseParams.model_fields

    @functools.wraps(function)
    def pipeline(*values: Any) -> None:
        function(SimpleNamespace(**dict(zip(fields, values, strict=True))))

    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                annotation=_kfp_type(field.annotation),
                default=inspect.Parameter.empty if field.is_required() else field.default,
            )
            for name, field in fields.items()
        ]
    )
    pipeline.__annotations__ = {name: _kfp_type(field.annotation) for name, field in fields.items()}
    lines = "\n".join(f"    {name}: {field.description}" for name, field in fields.items())
    pipeline.__doc__ = f"{inspect.getdoc(function)}\n\nArgs:\n{lines}\n"
    return pipeline


def _kfp_type(annotation: Any) -> type:
    """KFP knows no Literal: its form shows the type of the values."""
    if get_origin(annotation) is Literal:
        return type(get_args(annotation)[0])
    return annotation  # type: ignore[no-any-return]


def cached(component: Any, params: Any, **artifacts: Any) -> dsl.PipelineTask:
    """Add a stage that KFP may skip when neither its inputs nor its source changed."""
    return _task(component, params, artifacts).set_caching_options(True)


def fresh(component: Any, params: Any, **artifacts: Any) -> dsl.PipelineTask:
    """Add a stage that always runs: a gate, or one that touches a running service."""
    return _task(component, params, artifacts).set_caching_options(False)


def _task(component: Any, params: Any, artifacts: dict[str, Any]) -> dsl.PipelineTask:
    """Call a component with its artifacts and, by name, the release's parameters that it takes."""
    inputs = component.component_spec.inputs or {}
    scalars = {name: getattr(params, name) for name in inputs if hasattr(params, name)}
    folder = COMPONENTS / component.python_func.__module__.split(".")[1]
    return component(**artifacts, **scalars).set_env_variable(SOURCE_VARIABLE, source_fingerprint(folder))


def source_fingerprint(stage_folder: Path) -> str:
    """Return a hash of a stage's source and of what every stage stands on; part of its cache key."""
    digest = hashlib.sha256()
    own = (path for path in stage_folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    for file in (*sorted(COMPONENTS.glob("*.py")), *sorted(own)):
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]
