"""Whatever bytes a registry, a layout or an adapter holds: one clear error that names the thing (item 7).

Inputs are made by a seeded random: valid ones, changed in their bytes or in a value at each place.
"""

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tenacity import wait_none

from components.errors import DigestMismatch, InvalidInput, TunegateError
from components.oci import registry as registry_module
from components.oci.adapter_images import pull_adapter
from components.oci.adapters import ADAPTER_FILES, adapter_digest, adapter_rank, write_layer
from components.oci.layers import unpack_layer
from components.oci.layout import ImageLayout
from components.oci.registry import RegistryRepository
from tests.hostile.scripted_server import Answer, Asked, scripted_server

DIGEST = f"sha256:{'0' * 64}"
LAYOUT = "layout"
# What JSON can hold where something else is wanted.
ODD_VALUES: list[Any] = [
    None, True, -1, 0, 1.5, 10**40, "", "x", "\ud800", "sha256:" + "0" * 64, "../../x", [], [[]], {},
    {"a": 1}, [None] * 200, float("nan"), "é\x00\x1b[2J",
]  # fmt: skip
DEEP = b"[" * 100_000


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setattr(registry_module, "RETRY_WAIT", wait_none())
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of them, which nobody's disk has to keep
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / ADAPTER_FILES[0]).write_bytes(b'{"r": 16, "rank_pattern": {"q": 8}}')
    (tmp_path / "adapter" / ADAPTER_FILES[1]).write_bytes(b"weights")
    return tmp_path


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def described(content: bytes) -> dict[str, Any]:
    return {"mediaType": "x", "digest": digest_of(content), "size": len(content)}


def put(home: Path, *blobs: bytes) -> None:
    folder = home / LAYOUT / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    for blob in blobs:
        (folder / digest_of(blob).removeprefix("sha256:")).write_bytes(blob)


def assert_told(error: TunegateError, *names: str) -> None:
    """Hold an error to what a person, a terminal and a log can take."""
    text = str(error)
    text.encode()  # nothing that is no UTF-8
    assert any(name in text for name in names), text
    assert len(text) < 2000
    assert all(line.isprintable() for line in text.splitlines()), text


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the way to each value in a document."""
    yield here
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*here, key))


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return a document with another value at one place."""
    if not place:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[place[0]] = changed(copy[place[0]], place[1:], value)
    return copy


def mutated(content: bytes, chance: Random) -> bytes:
    """Return bytes with some cut, doubled, turned or put in."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(found) + 1)
        what = chance.randrange(5)
        if what == 0:
            del found[place : place + chance.choice([1, 2, 512])]
        elif what == 1:
            found[place:place] = found[place : place + chance.choice([1, 16, 512])]
        elif what == 2:
            found[place:place] = chance.choice(
                [b"\xff", b"\0", b'"', b"{", b"\\ud800", b"9" * 5000, b"\xed\xa0\x80"]
            )
        elif what == 3 and place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        elif place < len(found):
            found[place] = chance.randrange(256)
    return bytes(found)


def documents(valid: Any, seed: int) -> Iterator[bytes]:
    """Return what may come instead of a valid document."""
    content = json.dumps(valid).encode()
    yield from (
        DEEP,
        b'{"a":' * 100_000,
        b"",
        b"\0",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"9" * 10_000,
        content[:-1],
    )
    for place in places(valid):
        for value in ODD_VALUES:
            yield json.dumps(changed(valid, place, value)).encode()
            if place:
                deep = (
                    json.dumps(changed(valid, place, "@@"))
                    .encode()
                    .replace(b'"@@"', b"[" * 2000 + b"]" * 2000)
                )
                yield deep
    chance = Random(seed)
    for _ in range(120):
        yield mutated(content, chance)
    for _ in range(50):
        yield chance.randbytes(chance.randrange(200))


def valid_image(home: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return manifest, config and layer of the adapter."""
    layer = io.BytesIO()
    write_layer(home / "adapter", layer)
    config = {"rootfs": {"type": "layers", "diff_ids": [digest_of(layer.getvalue())]}}
    packed = gzip.compress(layer.getvalue(), mtime=0)
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described(json.dumps(config).encode()),
        "layers": [described(packed)],
        "annotations": {"a": "b"},
    }
    return manifest, config, packed


def test_any_manifest_is_read_or_refused(home: Path) -> None:
    manifest, config, packed = valid_image(home)
    put(home, json.dumps(config).encode(), packed)
    wanted, read = adapter_digest(home / "adapter"), 0
    for number, content in enumerate(documents(manifest, seed=1)):
        put(home, content)
        reference = f"oci:{home / LAYOUT}@{digest_of(content)}"
        try:
            pull_adapter(reference, wanted, home / f"out-{number}")
        except (InvalidInput, DigestMismatch) as error:
            assert_told(error, reference, f"oci:{home / LAYOUT}")
        else:
            read += 1
    assert 0 < read < number


def test_any_config_is_read_or_refused(home: Path) -> None:
    manifest, config, packed = valid_image(home)
    wanted, read = adapter_digest(home / "adapter"), 0
    for number, content in enumerate(documents(config, seed=2)):
        changed_manifest = json.dumps(manifest | {"config": described(content)}).encode()
        put(home, content, changed_manifest, packed)
        reference = f"oci:{home / LAYOUT}@{digest_of(changed_manifest)}"
        try:
            pull_adapter(reference, wanted, home / f"out-{number}")
        except (InvalidInput, DigestMismatch) as error:
            assert_told(error, reference)
        else:
            read += 1
    assert 0 < read < number


def some_layer(chance: Random) -> bytes:
    """Return an archive of many kinds of entries under odd names."""
    names = [
        "data/adapter_config.json",
        "data",
        "./data/x",
        "etc/a",
        "\udcff\udc80",
        "a\x1b[2J",
        "é" * 90,
        "/",
        ".",
    ]
    names += ["data/" + "\udcff", "data/\u202etxt", "n" * 300, "data/.wh.x", "..", "data/a/../b"]
    kinds = [
        tarfile.REGTYPE,
        tarfile.DIRTYPE,
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        b"Z",
        b"\xff",
    ]
    out = io.BytesIO()
    form = chance.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as archive:
        for _ in range(chance.randint(0, 4)):
            entry = tarfile.TarInfo(chance.choice(names))
            entry.type, entry.linkname = chance.choice([tarfile.REGTYPE, *kinds]), chance.choice(names)
            if form == tarfile.PAX_FORMAT and chance.random() < 0.3:
                key = chance.choice(
                    ["GNU.sparse.map", "GNU.sparse.size", "size", "path", "a", "GNU.sparse.major"]
                )
                entry.pax_headers = {key: chance.choice(["1", "x", "", "-5", "9" * 30, "a\nb", "1,2,3"])}
            entry.size = chance.choice([0, 0, 5, 600]) if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(bytes(entry.size)))
    return out.getvalue()


@pytest.mark.parametrize("seed", range(4))
def test_any_layer_is_read_or_refused(home: Path, seed: int) -> None:
    chance = Random(seed)
    valid, read = valid_image(home)[2], 0
    for number in range(300):
        plain = some_layer(chance)
        if chance.random() < 0.5:
            plain = mutated(plain, chance)
        layer = plain if chance.random() < 0.5 else gzip.compress(plain, 1, mtime=0)
        if chance.random() < 0.3:
            layer = mutated(chance.choice([layer, valid]), chance)
        (home / "layer").write_bytes(layer)
        into = home / f"into-{number}"
        into.mkdir()
        try:
            unpack_layer(home / "layer", digest_of(plain), into, "image: layer 1", 1 << 30)
        except (InvalidInput, DigestMismatch) as error:
            assert_told(error, "image: layer 1")
        else:
            read += 1
        assert {file.name for file in into.iterdir()} <= {*ADAPTER_FILES}
    assert read > 10


def test_any_index_is_kept_or_refused(home: Path) -> None:
    index, layout = home / LAYOUT / "index.json", ImageLayout(home / LAYOUT)
    listed = {"mediaType": "x", "digest": DIGEST, "size": 3, "annotations": {"note": "n"}}
    kept = 0
    for content in documents({"schemaVersion": 2, "manifests": [listed]}, seed=3):
        put(home)
        index.write_bytes(content)
        try:
            layout.put_manifest(b"{}", "tuned")
        except InvalidInput as error:
            assert_told(error, str(index))
            assert index.read_bytes() == content
        else:
            kept += 1
            assert len(json.loads(index.read_bytes())["manifests"]) >= 1
    assert kept > 0


def test_any_adapter_config_has_a_rank_or_is_refused(home: Path) -> None:
    file, ranks = home / "adapter" / ADAPTER_FILES[0], set()
    for content in documents({"r": 16, "rank_pattern": {"q": 8}}, seed=4):
        file.write_bytes(content)
        try:
            ranks.add(adapter_rank(home / "adapter"))
        except InvalidInput as error:
            assert_told(error, f"adapter {home / 'adapter'}")
    assert 16 in ranks
    assert all(type(rank) is int and rank > 0 for rank in ranks)


def test_any_answer_of_a_token_server_is_a_token_or_refused(home: Path) -> None:
    answers = list(documents({"token": "t", "access_token": "u", "expires_in": 300}, seed=5))
    odd = ("a\r\nX: y", "é", "\u2028", " t", "", "t" * 60_000)
    chosen = Random(6).sample(answers, 120) + [json.dumps({"token": token}).encode() for token in odd]
    taken = 0
    with (
        scripted_server(lambda asked: Answer()) as tokens,
        scripted_server(lambda asked: Answer()) as registry,
    ):
        challenge = {"Www-Authenticate": f'Bearer realm="{tokens.url}/token"'}
        registry.script = lambda asked: (
            Answer(200, {}, [b"m"]) if asked.authorization else Answer(401, challenge)
        )
        for content in chosen:
            tokens.script = answering(200, content)
            try:
                assert RegistryRepository(f"{registry.host}/a").manifest(DIGEST) == b"m"
                taken += 1
            except TunegateError as error:
                assert_told(error, f"token server {tokens.url}/token", f"registry {registry.host}")
    assert 0 < taken < len(chosen)
    assert all(request.authorization.startswith("Bearer ") for request in registry.authorized)


def answering(status: int, content: bytes) -> Callable[[Asked], Answer]:
    return lambda asked: Answer(status, {}, [content])


HEADERS = [
    "Bearer", "Bearer ", "Bearer realm=", 'Bearer realm=""', 'Bearer realm="http"', 'Bearer realm="https://"',
    'Bearer realm="https://[::1"', 'Bearer realm="https://a:b/"', 'Bearer realm="https://a:99999/"',
    'Bearer realm="https://é.example/"', 'Bearer realm="//a"', 'Bearer realm="http://[fe80::1%25a]/"',
    "Basic", "Digest realm=a", "", "é", "Bearer " + "a" * 60_000, "Bearer " + 'a="' * 1000,
    'Bearer realm="https://' + "a" * 300 + '.example/"',
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
@pytest.mark.parametrize("name", ["Www-Authenticate", "Location", "Docker-Content-Digest"])
def test_any_header_is_followed_or_refused(home: Path, header: str, name: str) -> None:
    status = {"Www-Authenticate": 401, "Location": 307}.get(name, 201)
    with (
        scripted_server(lambda asked: Answer(status, {name: header})) as registry,
        pytest.raises(TunegateError) as raised,
    ):
        RegistryRepository(f"{registry.host}/a").put_manifest(b"{}", "tuned")
    assert_told(raised.value, f"registry {registry.host}", f"{registry.host}/a")


def test_any_words_of_an_error_are_told(home: Path) -> None:
    bodies = list(documents({"errors": [{"code": "X", "message": "no"}]}, seed=7))
    with scripted_server(lambda asked: Answer()) as registry:
        for content in Random(8).sample(bodies, 150):
            registry.script = answering(400, content)
            with pytest.raises(TunegateError, match="400 Bad Request") as raised:
                RegistryRepository(f"{registry.host}/a").manifest(DIGEST)
            assert_told(raised.value, f"registry {registry.host}")


def test_any_config_of_docker_is_read_or_refused(home: Path) -> None:
    (home / ".docker").mkdir()
    auths = {"registry.example": {"auth": base64.b64encode(b"user:word").decode()}}
    for content in documents({"auths": auths, "credHelpers": {}, "credsStore": ""}, seed=9):
        (home / ".docker" / "config.json").write_bytes(content)
        try:
            RegistryRepository("registry.example/a")
        except InvalidInput as error:
            assert_told(error, ".docker/config.json")


REPOSITORIES = [
    "oci:/a\0b", "oci:~nobody-of-that-name/x", "oci:" + "a" * 5000, "oci:\udcff", "-a.example/b", "_:1/b",
    "é.example/b", "a.example:99999/b", "a..example/b", "[::g]/b", "a.example/\udcff",
    "a" * 300 + ".example/b",
]  # fmt: skip


@pytest.mark.parametrize("repository", REPOSITORIES, ids=range(len(REPOSITORIES)))
def test_any_reference_is_refused(home: Path, repository: str) -> None:
    with pytest.raises(TunegateError) as raised:
        pull_adapter(f"{repository}@{DIGEST}", DIGEST, home / "out")
    str(raised.value).encode()


def test_an_adapter_beyond_what_ustar_can_say_is_written(home: Path) -> None:
    """A sparse file stands for one of 9 GiB; the writer is stopped behind the first headers."""
    with (home / "adapter" / ADAPTER_FILES[1]).open("r+b") as file:
        file.truncate(9 << 30)

    class Full(Exception):
        pass

    class Out(io.BytesIO):
        def write(self, content: Any, /) -> int:
            if self.tell() > 1 << 16:
                raise Full
            return super().write(content)

    out = Out()
    with pytest.raises(Full):
        write_layer(home / "adapter", out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert [archive.next().size for _ in range(3)] == [0, 35, 9 << 30]  # type: ignore[union-attr]
