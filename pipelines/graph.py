"""How the graph is wired: parameters from `ReleaseParams`, cache keys that see the source."""

import ast
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
NAME = "tunegate-release"
Finish = Callable[[dsl.PipelineTask, str, Any], None]


def release_pipeline(
    function: Callable[[Any], None],
    model: type[ReleaseParams],
    finish: Finish = lambda task, stage, p: None,
    name: str = NAME,
) -> Any:
    """Make a KFP pipeline of a function that takes one namespace; its form is read from a model's fields.

    Args:
        function: Wires the stages with `cached` and `fresh`.
        model: The parameters, in the order of the form.
        finish: Called with every task, its stage and the parameters: what the platform adds to it.
        name: Of the pipeline.
    """
    fields = model.model_fields

    def pipeline(*values: Any) -> None:
        named = dict(zip(fields, values, strict=True))
        function(SimpleNamespace(**named, finish=finish))

    pipeline.__name__ = function.__name__
    pipeline.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                key,
                inspect.Parameter.KEYWORD_ONLY,  # a required one may stand behind one with a default
                annotation=_kfp_type(field.annotation),
                default=inspect.Parameter.empty if field.is_required() else field.default,
            )
            for key, field in fields.items()
        ]
    )
    pipeline.__annotations__ = {key: _kfp_type(field.annotation) for key, field in fields.items()}
    lines = "\n".join(f"    {key}: {field.description}" for key, field in fields.items())
    pipeline.__doc__ = f"{inspect.getdoc(function)}\n\nArgs:\n{lines}\n"
    return dsl.pipeline(pipeline, name=name, display_name=name.replace("-", " ").capitalize())


def _kfp_type(annotation: Any) -> type:
    """KFP knows no Literal: its form shows the type of the values."""
    origin = get_origin(annotation)
    if origin is Literal:
        return type(get_args(annotation)[0])
    return origin or annotation  # type: ignore[no-any-return]


def cached(component: Any, params: Any, **artifacts: Any) -> dsl.PipelineTask:
    """Add a stage that KFP may skip when neither its inputs nor its source changed."""
    return _task(component, params, artifacts, cache=True)


def fresh(component: Any, params: Any, **artifacts: Any) -> dsl.PipelineTask:
    """Add a stage that always runs: a gate, or one that touches a running service."""
    return _task(component, params, artifacts, cache=False)


def _task(component: Any, params: Any, artifacts: dict[str, Any], cache: bool) -> dsl.PipelineTask:
    """Call a component with its artifacts and, by name, the release's parameters that it takes."""
    inputs = component.component_spec.inputs or {}
    scalars = {name: getattr(params, name) for name in inputs if hasattr(params, name)}
    folder = COMPONENTS / component.python_func.__module__.split(".")[1]
    task = component(**artifacts, **scalars)
    add_environment(task, {SOURCE_VARIABLE: source_fingerprint(folder)})
    task.set_caching_options(cache)
    params.finish(task, component.python_func.__name__, params)
    return task


def add_environment(task: dsl.PipelineTask, variables: dict[str, str]) -> None:
    """Add environment variables to a task, all at once.

    Each `set_env_variable` searches all loaded modules for the source of each frame on the stack: 7 s a
    release in a notebook that has loaded vLLM.
    """
    task.container_spec.env = {**(task.container_spec.env or {}), **variables}


def source_fingerprint(stage_folder: Path) -> str:
    """Return a hash of a stage's source and of all that it stands on; part of its cache key.

    That is every loose module beside the stages, and each room that it imports, itself or through
    another one.
    """
    components = stage_folder.parent
    digest = hashlib.sha256()
    rooms = sorted(_rooms_under(stage_folder, set()))
    files = (*components.glob("*.py"), *(file for room in rooms for file in _source(room)))
    for file in sorted(files):
        name = file.relative_to(components).as_posix()
        digest.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _rooms_under(room: Path, seen: set[Path]) -> set[Path]:
    """Return a room and those that its modules import, wherever in them."""
    seen.add(room)
    for file in room.rglob("*.py"):
        for name in _imported_from_components(file.read_text(encoding="utf-8")):
            if (other := room.parent / name).is_dir() and other not in seen:
                _rooms_under(other, seen)
    return seen


@functools.cache
def _imported_from_components(source: str) -> set[str]:
    """Return the rooms and loose modules that a module imports, at its top or in a function."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("components.")}


def _source(room: Path) -> list[Path]:
    return [path for path in room.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
