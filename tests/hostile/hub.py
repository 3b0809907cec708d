"""A hub on loopback with one model or one dataset, which keeps what was asked of it."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from urllib.parse import parse_qs

from tests.hostile.odd_server import Answer, Asked, odd_server

NAME, DATASET, COMMIT = "org/model", "org/rows", "c0ffee" + "0" * 34


@contextmanager
def hub(files: dict[str, bytes], asked: list[Asked]) -> Iterator[str]:
    """Serve files under `org/model`; yield the hub's address."""

    def respond(path: str, body: bytes) -> Answer:
        path = path.partition("?")[0]
        if path.startswith(f"/api/models/{NAME}/tree/{COMMIT}"):
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": _oid(content)}
                for name, content in files.items()
            ]
            return Answer(json.dumps(tree).encode())
        if path in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/main"):
            return Answer(json.dumps({"id": NAME, "sha": COMMIT, "siblings": []}).encode())
        name = path.removeprefix(f"/{NAME}/resolve/{COMMIT}/")
        if name in files:
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_oid(files[name])}"'}
            return Answer(files[name], headers=headers)
        return Answer(b"{}", status=404, headers={"X-Error-Code": "RepoNotFound"})

    with odd_server(respond, asked) as url:
        yield url


@contextmanager
def dataset_hub(files: dict[str, bytes], asked: list[Asked]) -> Iterator[str]:
    """Serve files under the dataset `org/rows`, in its one commit; yield the hub's address."""

    def folders() -> set[str]:
        return {str(folder) for name in files for folder in PurePosixPath(name).parents[:-1]}

    def entry(name: str) -> dict[str, object]:
        if name in folders():
            return {"type": "directory", "path": name, "oid": _oid(name.encode())}
        return {"type": "file", "path": name, "size": len(files[name]), "oid": _oid(files[name])}

    def respond(path: str, body: bytes) -> Answer:
        path, _, query = path.partition("?")
        api = f"/api/datasets/{DATASET}"
        if path in (api, f"{api}/revision/main", f"{api}/revision/{COMMIT}"):
            return Answer(json.dumps({"id": DATASET, "sha": COMMIT, "siblings": []}).encode())
        if path.startswith(f"{api}/tree/{COMMIT}"):
            under = path.removeprefix(f"{api}/tree/{COMMIT}").strip("/")
            if under and under not in folders():
                return Answer(b"{}", status=404, headers={"X-Error-Code": "EntryNotFound"})
            deep = "recursive=true" in query.lower()
            there = [name for name in [*folders(), *files] if name.startswith(f"{under}/") or not under]
            near = [name for name in there if deep or "/" not in name.removeprefix(under).strip("/")]
            return Answer(json.dumps([entry(name) for name in near]).encode())
        if path.startswith(f"{api}/paths-info/{COMMIT}"):
            wanted = parse_qs(body.decode()).get("paths", [])
            return Answer(
                json.dumps([entry(name) for name in wanted if name in {*files, *folders()}]).encode()
            )
        name = path.removeprefix(f"/datasets/{DATASET}/resolve/{COMMIT}/")
        if name in files:
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{_oid(files[name])}"'}
            return Answer(files[name], headers=headers)
        return Answer(b"{}", status=404, headers={"X-Error-Code": "RepoNotFound"})

    with odd_server(respond, asked) as url:
        yield url


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
