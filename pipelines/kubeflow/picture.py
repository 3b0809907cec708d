"""The graph of a compiled package as a Mermaid flow chart, which code hosts draw in a README."""

import re
from collections.abc import Iterator
from typing import Any

import yaml

DECIDES = re.compile(r"pipelinechannel--(?P<task>[a-z0-9-]+)-Output")


def mermaid(package: str) -> str:
    """Draw a package: tasks as boxes, those that decide as rhombi, what they decide on the edges.

    Args:
        package: The package's text, as `package_text` returns it.
    """
    spec = next(yaml.safe_load_all(package))
    root = spec["root"]["dag"]["tasks"]
    edges, inside = [], []
    for task in root.values():
        group = _group(spec, task)
        if group is not None:
            edges += list(_edges(spec, group))
            inside += [task["taskInfo"]["name"]]
    deciding = {source for source, _, label in edges if label}
    names = dict.fromkeys(name for source, target, _ in edges for name in (source, target))
    lines = ["flowchart TD", *(f"  subgraph {name}" for name in inside)]
    lines += [f"    {name}{{{name}}}" if name in deciding else f"    {name}[{name}]" for name in names]
    lines += [f"    {source} -->{f'|{label}|' if label else ''} {target}" for source, target, label in edges]
    lines += ["  end" for _ in inside]
    lines += [
        f"  {before} -->|however it ends| {name}"
        for name, task in root.items()
        for before in inside
        if task.get("dependentTasks")
    ]
    return "\n".join(lines) + "\n"


def _group(spec: dict[str, Any], task: dict[str, Any]) -> dict[str, Any] | None:
    """Return the tasks of a task that is a group; None of a stage."""
    component = spec["components"][task["componentRef"]["name"]]
    tasks: dict[str, Any] | None = component.get("dag", {}).get("tasks")
    return tasks


def _edges(spec: dict[str, Any], tasks: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield what follows what (task, task, decision), groups taken apart."""
    stages = {name: task for name, task in tasks.items() if _group(spec, task) is None}
    before = {name: set(task.get("dependentTasks", [])) for name, task in stages.items()}
    for name in _in_order(before):
        for earlier in sorted(before[name]):
            # What already follows from the others is not drawn again.
            if not any(earlier in _all_before(before, other) for other in before[name] - {earlier}):
                yield earlier, name, ""
    for name, task in tasks.items():
        inner = None if name in stages else _group(spec, task)
        if inner is None:
            continue
        decides = DECIDES.search(task.get("triggerPolicy", {}).get("condition", ""))
        if decides:
            for first in _first(spec, inner):
                yield decides["task"], first, task["taskInfo"]["name"]
        yield from _edges(spec, inner)


def _first(spec: dict[str, Any], tasks: dict[str, Any]) -> list[str]:
    return [n for n, t in tasks.items() if _group(spec, t) is None and not t.get("dependentTasks")]


def _all_before(before: dict[str, set[str]], name: str) -> set[str]:
    direct = before.get(name, set())
    return direct.union(*(_all_before(before, earlier) for earlier in direct))


def _in_order(before: dict[str, set[str]]) -> list[str]:
    return sorted(before, key=lambda name: (len(_all_before(before, name)), name))
