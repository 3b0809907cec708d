"""A model hub on loopback with one model, which keeps what was asked of it."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.hostile.odd_server import Answer, Asked, odd_server

NAME, COMMIT = "org/model", "c0ffee" + "0" * 34


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


def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
