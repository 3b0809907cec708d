"""An API server in memory, with or without KEDA."""

import copy
from collections import Counter
from typing import Any

from components.serve.kubernetes.cluster import Conflict
from components.serve.kubernetes.scaler import HELD, KIND

Found = dict[str, Any]


class FakeCluster:
    """An API server that remembers annotations by who applied them, calls that change, and what is listed."""

    namespace = "tunegate"

    def __init__(self, has_keda: bool = True) -> None:
        self.has_keda = has_keda
        self.objects: dict[tuple[str, str], Found] = {}
        self.annotated: dict[tuple[str, str], dict[str, Found]] = {}
        self.changes: list[str] = []
        self.listed: Counter[str] = Counter()

    def require(self) -> None:
        pass

    def knows(self, kind: str) -> bool:
        return self.has_keda

    def get(self, kind: str, name: str) -> Found | None:
        assert name, "the API server would list all of them"
        return copy.deepcopy(self.objects.get((kind, name)))

    def list(self, kind: str, labels: str = "", fields: str = "") -> list[Found]:
        self.listed[kind] += 1
        wanted = dict(pair.split("=") for pair in labels.split(",") if pair).items()
        return [
            copy.deepcopy(found)
            for (of_kind, _), found in self.objects.items()
            if of_kind == kind and wanted <= found["metadata"].get("labels", {}).items()
        ]

    def apply(
        self, manifest: Found, manager: str = "tunegate", dry_run: bool = False, force: bool = False
    ) -> Found:
        manifest = copy.deepcopy(manifest)
        key = manifest["kind"], manifest["metadata"]["name"]
        by_manager = dict(self.annotated.get(key, {}))
        mine = manifest["metadata"].get("annotations", {})
        for other, theirs in by_manager.items():
            if other != manager and any(theirs.get(name, value) != value for name, value in mine.items()):
                raise Conflict(f"somebody else manages a part of it: {other}")
        by_manager[manager] = mine
        before = self.objects.get(key, {})
        metadata = {
            **before.get("metadata", {}),
            **manifest["metadata"],
            "annotations": {name: value for theirs in by_manager.values() for name, value in theirs.items()},
        }
        spec = {**before.get("spec", {}), **manifest.get("spec", {})}
        merged = {**before, **manifest, "metadata": metadata, "spec": spec}
        if not dry_run:
            self.objects[key], self.annotated[key] = merged, by_manager
            self.changes.append(f"apply {key[0]} {key[1]}")
        return copy.deepcopy(merged)

    def delete(self, kind: str, name: str, grace_s: int | None = None) -> None:
        del self.objects[kind, name]
        if kind == "Deployment":
            gone = [key for key in self.objects if key[0] == "Pod" and key[1].startswith(f"{name}-")]
            for key in gone:
                del self.objects[key]
        self.changes.append(f"delete {kind} {name}")

    def annotate(self, name: str, value: str) -> None:
        """Hold a scaler as a person would, with kubectl."""
        self.annotated[KIND, name]["kubectl"] = {HELD: value}
        self.objects[KIND, name]["metadata"]["annotations"][HELD] = value

    def held(self, name: str) -> str | None:
        value: str | None = self.objects[KIND, name]["metadata"]["annotations"].get(HELD)
        return value

    def replicas(self, name: str) -> int:
        return int(self.objects["Deployment", name]["spec"]["replicas"])
