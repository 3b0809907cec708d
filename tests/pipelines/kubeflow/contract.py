"""Hold JSON against the models of kfp_server_api: names, types, allowed values, down to the leaves."""

import re
from datetime import datetime
from typing import Any

import kfp_server_api
from kfp_server_api import models

PLAIN: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "bool": bool,
    "int": int,
    "float": (int, float),
    "object": dict,
}


def violations(value: Any, kind: str, where: str = "body") -> list[str]:
    """Return everything in which a value is not of a kind, as `openapi_types` writes kinds."""
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no list"]
        return [w for i, item in enumerate(value) for w in violations(item, found[1], f"{where}[{i}]")]
    if found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            return [f"{where}: {value!r} is no mapping"]
        inner = found[1]
        return [
            w
            for key, item in value.items()
            if inner != "object"  # any JSON
            for w in violations(item, inner, f"{where}.{key}")
        ]
    if kind == "datetime":
        try:
            datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return [f"{where}: {value!r} is no time"]
        return []
    if kind in PLAIN:
        right = isinstance(value, PLAIN[kind]) and not (kind == "int" and isinstance(value, bool))
        return [] if right else [f"{where}: {value!r} is no {kind}"]
    return _model(value, getattr(models, kind), where)


def _model(value: Any, model: Any, where: str) -> list[str]:
    allowed = getattr(model, "allowable_values", None)
    if allowed:
        return [] if value in allowed else [f"{where}: {value!r} is none of {', '.join(allowed)}"]
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no {model.__name__}"]
    kinds = {json_name: model.openapi_types[name] for name, json_name in model.attribute_map.items()}
    unknown = [f"{where}.{key}: no field of {model.__name__}" for key in value if key not in kinds]
    inner = [
        w
        for key, item in value.items()
        if key in kinds
        for w in violations(item, kinds[key], f"{where}.{key}")
    ]
    return unknown + inner


def as_json(answer: Any) -> Any:
    """Write a model as the back end does; what it says is held against its own model first."""
    written = kfp_server_api.ApiClient().sanitize_for_serialization(answer)
    wrong = violations(written, type(answer).__name__)
    assert not wrong, wrong
    return written
