"""An API server in memory, and the back end on it."""

import copy
import threading
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import pytest

from components.serve.kubernetes import backend
from components.serve.kubernetes.cluster import Conflict, Outdated
from components.serve.kubernetes.scaler import HELD, KIND
from components.settings import ClusterSettings

Found = dict[str, Any]


class FakeCluster:
    """An API server that remembers annotations by who applied them, calls that change, and what is listed.

    Args:
        lacks: The kinds that it does not have.
        denied: What may not be done: verb, resource and API group.

    Attributes:
        treat: What it makes of an object that is applied.
        writes: How often an object was created or replaced.
    """

    namespace = "tunegate"

    def __init__(self, lacks: Collection[str] = (), denied: Collection[tuple[str, str, str]] = ()) -> None:
        self.lacks, self.denied = lacks, denied
        self.treat: Callable[[Found], Found] = lambda manifest: manifest
        self.objects: dict[tuple[str, str], Found] = {}
        self.annotated: dict[tuple[str, str], dict[str, Found]] = {}
        self.changes: list[str] = []
        self.listed: Counter[str] = Counter()
        self.writes, self.writing = 0, threading.Lock()

    def require(self) -> None:
        pass

    def knows(self, kind: str) -> bool:
        return kind not in self.lacks

    def allows(self, verb: str, resource: str, group: str = "") -> bool:
        return (verb, resource, group) not in self.denied

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
        manifest = self.treat(copy.deepcopy(manifest))
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

    def create(self, manifest: Found) -> Found:
        return self._write(manifest, is_new=True)

    def replace(self, manifest: Found) -> Found:
        return self._write(manifest, is_new=False)

    def _write(self, manifest: Found, is_new: bool) -> Found:
        key = manifest["kind"], manifest["metadata"]["name"]
        with self.writing:
            there = self.objects.get(key)
            known = (there or {}).get("metadata", {}).get("resourceVersion")
            if (there is None) != is_new or manifest["metadata"].get("resourceVersion") != known:
                raise Outdated(f"somebody else has changed {key}")
            self.writes += 1
            written = copy.deepcopy(manifest)
            written["metadata"]["resourceVersion"] = str(self.writes)
            self.objects[key] = written
            return copy.deepcopy(written)

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


def backend_on(cluster: FakeCluster, settings: ClusterSettings) -> backend.KubernetesBackend:
    """Return a back end whose API server is the fake one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "Cluster", lambda namespace: cluster)
        patch.setattr(backend, "load_cluster_settings", lambda: settings)
        return backend.KubernetesBackend()
