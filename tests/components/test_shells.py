"""The thin shells that KFP runs: what each is given, it uses."""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SHELLS = [
    pytest.param(component.python_func, id=component.python_func.__name__)
    for file in sorted(ROOT.glob("components/*/component.py"))
    for component in vars(importlib.import_module(f"components.{file.parent.name}.component")).values()
    if hasattr(component, "python_func")
]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_scalar_input_is_used(shell: Any):
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(shell))).body
    assert isinstance(function, ast.FunctionDef)
    scalars = [
        name
        for name, parameter in inspect.signature(shell).parameters.items()
        if parameter.annotation in (str, int, float, bool)
    ]
    unused = [name for name in scalars if name not in _named(function) | _picked(function)]
    assert not unused, f"{shell.__name__} takes what it does not use"


def _named(function: ast.FunctionDef) -> set[str]:
    """Return the names that stand in a function's body."""
    return {node.id for line in function.body for node in ast.walk(line) if isinstance(node, ast.Name)}


def _picked(function: ast.FunctionDef) -> set[str]:
    """Return the fields of the stage's config, of which `...Config.of(locals())` takes each by its name."""
    modules = {
        alias.name: node.module
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    configs = [
        node.func.value.id
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "of"
        and isinstance(node.func.value, ast.Name)
    ]
    return {
        name
        for config in configs
        for name in getattr(importlib.import_module(modules[config]), config).model_fields
    }
