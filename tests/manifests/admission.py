"""What the policy of `manifests/admission` says of an object, by a CEL library instead of a cluster."""

import re
from functools import cache
from typing import Any

import cel

from tests.manifests.rendering import Manifest, find

VARIABLE = re.compile(r"\bvariables\.(\w+)")


def refusals(asked: Manifest) -> list[str]:
    """Return the message of each rule that an object breaks; none: it is let in.

    Expressions see what a cluster gives them: the object, and the variables that stand before them.
    """
    variables: dict[str, Any] = {}
    for variable in policy()["variables"]:
        variables[variable["name"]] = _value(variable["expression"], asked, variables)
    broken = []
    for rule in policy()["validations"]:
        found = _value(rule["expression"], asked, variables)
        assert isinstance(found, bool), rule["expression"]
        if not found:
            broken.append(rule["message"])
    return broken


@cache
def policy() -> Manifest:
    """Return the policy."""
    spec: Manifest = find("admission", "ValidatingAdmissionPolicy", "tunegate-pods")["spec"]
    return spec


def _value(expression: str, asked: Manifest, variables: dict[str, Any]) -> Any:
    used = {
        name: variables[name] for name in VARIABLE.findall(expression)
    }  # the rest takes time to hand over
    context: dict[str, Any] = {"variables": used}
    if re.search(r"\bobject\b", expression):
        context["object"] = asked
    return _program(expression).execute(context)


@cache
def _program(expression: str) -> "cel.Program":
    return cel.compile(expression)
