"""The labels by which our objects are known as ours, and found."""

from typing import Any, Literal

from components.serve.spec import ServingSpec

Component = Literal["engine", "router"]

OWNED = "tunegate"
MANAGED_BY = "app.kubernetes.io/managed-by"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
MODEL = "tunegate.io/model"
RELEASE = "tunegate.io/release"
SPEC = "tunegate.io/spec"  # an annotation: the ServingSpec as JSON


def labels(spec: ServingSpec, component: Component) -> dict[str, str]:
    """Return the labels of an object of a deployment, and of its pods."""
    return {
        **selector(spec.name, component),
        "app.kubernetes.io/name": "vllm" if component == "engine" else "tunegate-router",
        MODEL: spec.model_name,
        RELEASE: spec.name.removeprefix(f"{spec.model_name}-"),
    }


def selector(name: str, component: Component) -> dict[str, str]:
    """Return the labels that pick the pods of one deployment's engines or routers."""
    return {MANAGED_BY: OWNED, INSTANCE: name, COMPONENT: component}


def as_query(wanted: dict[str, str]) -> str:
    """Return labels as the API server takes them in a query."""
    return ",".join(f"{key}={value}" for key, value in wanted.items())


def left_alone(found: dict[str, Any]) -> str:
    """Return the problem with an object that is not ours and stands where ours would."""
    owner = label(found, MANAGED_BY) or "somebody else"
    return (
        f"{found['kind']} {found['metadata']['name']}: belongs to {owner} and is left alone; "
        "rename or delete it"
    )


def is_of_model(found: dict[str, Any], model_name: str) -> bool:
    """Return whether an object is ours and belongs to a model name, whichever deployment is behind it."""
    return (label(found, MANAGED_BY), label(found, MODEL)) == (OWNED, model_name)


def label(found: dict[str, Any], key: str) -> str:
    """Return one label of an object; empty where it has none."""
    return str((found["metadata"].get("labels") or {}).get(key, ""))
