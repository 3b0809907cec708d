"""Nothing that a registry or a layout says takes more disk or memory than its limit (item 5)."""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tenacity import wait_none

from components.errors import InvalidInput, TunegateError
from components.oci import layers as layers_module
from components.oci import registry as registry_module
from components.oci.adapter_images import check_repository, pull_adapter, push_adapter
from components.oci.adapters import ADAPTER_FILES
from components.oci.image import MAX_DOCUMENT_BYTES, Descriptor
from components.oci.registry import RegistryRepository
from components.settings import load_settings
from tests.hostile.memory import little_memory
from tests.hostile.scripted_server import GIVES_UP_BYTES, Answer, Asked, endless, scripted_server

# What is kept in memory of the largest thing that is taken, and its copies.
MEMORY_BYTES = 5 * MAX_DOCUMENT_BYTES
DIGEST = f"sha256:{'0' * 64}"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setattr(registry_module, "RETRY_WAIT", wait_none())
    return tmp_path


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def described(content: bytes) -> dict[str, Any]:
    return {"mediaType": "x", "digest": digest_of(content), "size": len(content)}


def layer_of(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"data/{name.replace('_DOT_', '.')}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def image_of(*layers: bytes, **changes: Any) -> tuple[bytes, dict[str, bytes]]:
    """Return a manifest of plain layers, and the blobs that it names."""
    config = json.dumps({"rootfs": {"diff_ids": [digest_of(layer) for layer in layers]}}).encode()
    blobs = {digest_of(blob): blob for blob in (config, *layers)}
    manifest = {
        "schemaVersion": 2,
        "config": described(config),
        "layers": [described(layer) for layer in layers],
    }
    return json.dumps(manifest | changes).encode(), blobs


def registry_of(manifest: bytes, blobs: dict[str, bytes]) -> Callable[[Asked], Answer]:
    def script(asked: Asked) -> Answer:
        found = blobs.get(asked.path.rpartition("/")[2])
        if "/manifests/" in asked.path:
            found = manifest
        return Answer(404) if found is None else Answer(200, {}, [found])

    return script


def layout_of(home: Path, manifest: bytes, blobs: dict[str, bytes]) -> str:
    folder = home / "layout" / "blobs" / "sha256"
    folder.mkdir(parents=True, exist_ok=True)
    for digest, blob in (blobs | {digest_of(manifest): manifest}).items():
        (folder / digest.removeprefix("sha256:")).write_bytes(blob)
    return f"oci:{home / 'layout'}@{digest_of(manifest)}"


def test_the_default_has_room_for_the_largest_adapter_of_a_70b_model() -> None:
    # Llama 3 70B: 80 layers; hidden 8192, keys and values 1024, feed-forward 28672.
    pairs = [(8192, 8192), (8192, 1024), (8192, 1024), (8192, 8192)]
    pairs += [(8192, 28672), (8192, 28672), (28672, 8192)]
    weights_a_rank = 80 * sum(rows + columns for rows, columns in pairs)
    limit = load_settings().max_adapter_bytes
    assert weights_a_rank * 512 * 2 < limit
    assert weights_a_rank * 256 * 4 < limit
    assert weights_a_rank * 512 * 4 > limit  # and no more than is said


@pytest.mark.parametrize("size", [17 << 30, 1 << 62], ids=["17 GiB", "4 EiB"])
def test_a_layer_that_is_too_large_is_refused_before_anything_is_fetched(home: Path, size: int) -> None:
    manifest, blobs = image_of(b"x")
    changed = json.dumps(json.loads(manifest) | {"layers": [described(b"x") | {"size": size}]}).encode()
    with scripted_server(registry_of(changed, blobs)) as registry:
        reference = f"{registry.host}/a@{digest_of(changed)}"
        with pytest.raises(InvalidInput, match=f"layers have {size:,} bytes.*TUNEGATE_MAX_ADAPTER_BYTES"):
            pull_adapter(reference, DIGEST, home / "out")
    assert [request.path.split("/")[3] for request in registry.asked] == ["manifests"]


def test_many_layers_count_together(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_MAX_ADAPTER_BYTES", str(1 << 20))
    layers = [layer_of(**{f"other{number}": os.urandom(400_000)}) for number in range(3)]
    reference = layout_of(home, *image_of(*layers))
    with pytest.raises(InvalidInput, match=r"layers have 1,2\d\d,\d\d\d bytes, at most 1,048,576"):
        pull_adapter(reference, DIGEST, home / "out")
    # What they unpack to counts as well.
    manifest, blobs = image_of(*layers)
    packed = [gzip.compress(layer_of(**{f"other{number}": bytes(400_000)})) for number in range(3)]
    plain = [gzip.decompress(layer) for layer in packed]
    config = json.dumps({"rootfs": {"diff_ids": [digest_of(layer) for layer in plain]}}).encode()
    manifest = json.dumps(
        json.loads(manifest) | {"config": described(config), "layers": [described(layer) for layer in packed]}
    ).encode()
    reference = layout_of(home, manifest, {digest_of(blob): blob for blob in (config, *packed)})
    with pytest.raises(InvalidInput, match=r"layer 3: .*(?s:.*)unpacks to more than [\d,]+ bytes"):
        pull_adapter(reference, DIGEST, home / "out")
    assert blobs


@pytest.mark.parametrize("size", [-1, 1.5, "5", True, None, 10**30, [], 1e3], ids=repr)
@pytest.mark.parametrize("place", ["layer", "config"])
def test_a_size_that_is_none_is_refused(home: Path, size: object, place: str) -> None:
    manifest, blobs = image_of(b"x")
    wrong = described(b"x") | {"size": size}
    changed = json.loads(manifest) | ({"layers": [wrong]} if place == "layer" else {"config": wrong})
    reference = layout_of(home, json.dumps(changed).encode(), blobs)
    with pytest.raises(InvalidInput, match=r"size: Input should be") as raised:
        pull_adapter(reference, DIGEST, home / "out")
    assert reference in str(raised.value)


SAYS = {
    "no length": {},
    "the announced length": {"Content-Length": "5000"},
    "a huge length": {"Content-Length": str(1 << 62)},
    "no number as length": {"Content-Length": "many"},
    "a negative length": {"Content-Length": "-1"},
}


@pytest.mark.parametrize("headers", SAYS.values(), ids=SAYS)
def test_no_more_of_a_layer_arrives_than_was_announced(home: Path, headers: dict[str, str]) -> None:
    blob = Descriptor(media_type="x", digest=DIGEST, size=5000)
    with (
        scripted_server(lambda asked: Answer(200, headers, endless())) as registry,
        little_memory(MEMORY_BYTES),
    ):
        try:
            RegistryRepository(f"{registry.host}/a").blob(blob, home)
        except TunegateError as error:
            assert DIGEST in str(error) or registry.host in str(error)
        else:
            assert headers.get("Content-Length") == "5000"
    assert registry.sent < GIVES_UP_BYTES
    assert sum(file.stat().st_size for file in home.glob("sha256*")) <= 5000


def chunked(body: Iterator[bytes]) -> Answer:
    return Answer(200, {"Transfer-Encoding": "chunked"}, body)


HEADS = {
    "endless chunks": lambda: endless(b"", b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "one endless chunk": lambda: endless(b"7fffffffffffffff\r\n"),
    "an endless head of a chunk": lambda: endless(b"5;", b"a" * 65536),
    "an endless number of a chunk": lambda: endless(b"", b"0" * 65536),
    "an endless trailer": lambda: endless(b"0\r\n", b"a" * 65536),
}


@pytest.mark.parametrize("body", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("part", ["manifest", "blob"])
def test_chunks_are_limited_whatever_is_endless_about_them(
    home: Path, body: Callable[[], Iterator[bytes]], part: str
) -> None:
    blob = Descriptor(media_type="x", digest=DIGEST, size=5000)
    with scripted_server(lambda asked: chunked(body())) as registry, little_memory(MEMORY_BYTES):
        repository = RegistryRepository(f"{registry.host}/a")
        try:
            found = repository.manifest(DIGEST) if part == "manifest" else repository.blob(blob, home)
        except TunegateError as error:
            assert registry.host in str(error)
        else:
            assert isinstance(found, Path) or len(found) < 2 * MAX_DOCUMENT_BYTES
    assert registry.sent < len(registry.asked) * GIVES_UP_BYTES


def test_a_manifest_is_read_up_to_its_limit_and_refused(home: Path) -> None:
    with (
        scripted_server(lambda asked: Answer(200, {}, endless(b"{"))) as registry,
        little_memory(MEMORY_BYTES),
        pytest.raises(InvalidInput, match=r"its manifest has more than 4,194,304 bytes"),
    ):
        pull_adapter(f"{registry.host}/a@{DIGEST}", DIGEST, home / "out")
    assert registry.sent < GIVES_UP_BYTES


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_what_an_error_has_to_say_is_limited(home: Path, status: int) -> None:
    challenge = {"Www-Authenticate": 'Basic realm="a"'}
    body = lambda: endless(b'{"errors": [{"message": "')  # noqa: E731
    with (
        scripted_server(lambda asked: Answer(status, challenge, body())) as registry,
        little_memory(1 << 21),
        pytest.raises(TunegateError, match=f"{status}") as raised,
    ):
        RegistryRepository(f"{registry.host}/a").manifest(DIGEST)
    assert len(str(raised.value)) < 1000
    assert registry.sent < len(registry.asked) * GIVES_UP_BYTES


def test_long_words_of_an_error_are_cut_and_steer_no_terminal(home: Path) -> None:
    message = "no \x1b[2J\u202e" + "such thing " * 1000
    body = json.dumps({"errors": [{"message": message}]}).encode()
    with (
        scripted_server(lambda asked: Answer(400, {}, [body])) as registry,
        pytest.raises(TunegateError, match=r"\(400 Bad Request: no .*…\)") as raised,
    ):
        RegistryRepository(f"{registry.host}/a").manifest(DIGEST)
    assert len(str(raised.value)) < 1000
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "DELETE"])
def test_answers_that_nobody_reads_are_limited(home: Path, method: str) -> None:
    def script(asked: Asked) -> Answer:
        status = {"POST": 202, "HEAD": 404, "DELETE": 202}.get(asked.method, 201)
        return Answer(status, {"Location": "/up"}, endless() if asked.method == method else [])

    (home / "adapter").mkdir()
    for name in ADAPTER_FILES:
        (home / "adapter" / name).write_bytes(b"content")
    with scripted_server(script) as registry, little_memory(MEMORY_BYTES):
        check_repository(f"{registry.host}/a")
        push_adapter(home / "adapter", f"{registry.host}/a", {}, "tuned")
    assert registry.sent < len(registry.asked) * GIVES_UP_BYTES


def test_the_body_of_a_redirect_is_not_read(home: Path) -> None:
    with (
        scripted_server(lambda asked: Answer(307, {"Location": "/on"}, endless())) as registry,
        little_memory(1 << 21),
        pytest.raises(TunegateError, match="leads from one place to the next"),
    ):
        RegistryRepository(f"{registry.host}/a").manifest(DIGEST)
    assert registry.sent < len(registry.asked) * GIVES_UP_BYTES


@pytest.mark.parametrize(("status", "words"), [(200, "is longer than 65536 bytes"), (403, "asks for cred")])
def test_a_token_servers_answer_is_limited(home: Path, status: int, words: str) -> None:
    with scripted_server(lambda asked: Answer(status, {}, endless(b'{"token": "'))) as tokens:
        challenge = {"Www-Authenticate": f'Bearer realm="{tokens.url}/token"'}
        with (
            scripted_server(lambda asked: Answer(401, challenge)) as registry,
            little_memory(1 << 21),
            pytest.raises(TunegateError, match=words),
        ):
            RegistryRepository(f"{registry.host}/a").manifest(DIGEST)
    assert tokens.sent < GIVES_UP_BYTES


def test_an_answer_that_is_packed_is_not_unpacked_into_memory(home: Path) -> None:
    bomb = gzip.compress(b'{"errors": [{"message": "' + bytes(64 << 20), 9)
    headers = {"Content-Encoding": "gzip"}
    with (
        scripted_server(lambda asked: Answer(400, headers, [bomb])) as registry,
        little_memory(1 << 21),
        pytest.raises(TunegateError, match=r"\(400 Bad Request\)"),
    ):
        RegistryRepository(f"{registry.host}/a").manifest(DIGEST)


@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
def test_what_lies_in_a_layout_is_limited_too(home: Path, part: str) -> None:
    """A sparse file of 64 GiB stands where a blob should: nobody reads it, or sums it up."""
    manifest, blobs = image_of(layer_of(other=b"x"))
    reference = layout_of(home, manifest, blobs)
    digests = {"manifest": digest_of(manifest), "config": next(iter(blobs)), "layer": list(blobs)[1]}
    os.truncate(home / "layout" / "blobs" / "sha256" / digests[part].removeprefix("sha256:"), 1 << 36)
    with (
        little_memory(MEMORY_BYTES),
        pytest.raises(TunegateError, match=r"more than 4,194,304 bytes|got 68,719,476,736"),
    ):
        pull_adapter(reference, DIGEST, home / "out")


def test_an_index_is_limited(home: Path) -> None:
    (home / "adapter").mkdir()
    for name in ADAPTER_FILES:
        (home / "adapter" / name).write_bytes(b"content")
    (home / "layout").mkdir()
    (home / "layout" / "index.json").write_bytes(b"[")
    os.truncate(home / "layout" / "index.json", 1 << 36)
    with (
        little_memory(MEMORY_BYTES),
        pytest.raises(InvalidInput, match=r"index.json(?s:.*)more than 4,194,304 bytes"),
    ):
        push_adapter(home / "adapter", f"oci:{home / 'layout'}", {}, "tuned")
    entry = {"digest": DIGEST, "annotations": {"note": "n" * 4_194_000}}
    (home / "layout" / "index.json").write_text(json.dumps({"manifests": [entry]}, separators=(",", ":")))
    before = (home / "layout" / "index.json").read_bytes()
    with pytest.raises(InvalidInput, match=r"would list more images than 4,194,304 bytes hold"):
        push_adapter(home / "adapter", f"oci:{home / 'layout'}", {}, "tuned")
    assert (home / "layout" / "index.json").read_bytes() == before


def test_an_adapter_that_nobody_would_pull_is_not_pushed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNEGATE_MAX_ADAPTER_BYTES", str(1 << 20))
    (home / "adapter").mkdir()
    for name in ADAPTER_FILES:
        (home / "adapter" / name).write_bytes(bytes(600_000))
    with pytest.raises(InvalidInput, match=r"its files have 1,200,000 bytes.*TUNEGATE_MAX_ADAPTER_BYTES"):
        push_adapter(home / "adapter", f"oci:{home / 'layout'}", {}, "tuned")
    assert not (home / "layout").exists()


def test_what_has_no_room_on_the_disk_is_not_begun(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = layer_of(adapter_config_DOT_json=b"{}", adapter_model_DOT_safetensors=bytes(100_000))
    manifest, blobs = image_of(layer)
    free = 50_000
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with (
        scripted_server(registry_of(manifest, blobs)) as registry,
        pytest.raises(TunegateError, match=r"has room for 50,000.*Free some space and run again"),
    ):
        pull_adapter(f"{registry.host}/a@{digest_of(manifest)}", DIGEST, home / "out")
    assert not any(digest_of(layer) in request.path for request in registry.asked)
    # The blobs of a layout are there; what is unpacked needs room, too.
    with pytest.raises(
        TunegateError, match=r"layer 1: data/adapter_model.safetensors: has 100,000 bytes, but"
    ):
        pull_adapter(layout_of(home, manifest, blobs), DIGEST, home / "out")


def test_a_file_that_is_announced_too_large_is_refused_before_it_is_written(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers_module, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    written: list[Path] = []
    monkeypatch.setattr(layers_module, "atomic_write", written.append)
    packed = gzip.compress(layer_of(adapter_model_DOT_safetensors=bytes(8 << 20)))
    (home / "layer").write_bytes(packed)
    with pytest.raises(InvalidInput, match=r"unpacks to more than 1,048,576 bytes"):
        layers_module.unpack_layer(home / "layer", DIGEST, home, "layer 1", 1 << 40)
    assert written == []
