"""The files under /data of an image are taken out, and nothing that an enemy would have beside them."""

import base64
import gzip
import hashlib
import io
import json
import resource
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import DigestMismatch, InvalidInput
from components.oci import data_images
from components.oci.data_images import pull_data
from components.oci.image import INDEX_TYPE, Descriptor
from components.oci.index import image_of
from components.oci.layout import ImageLayout
from components.sources.digests import read_contents
from components.sources.expand import expanded
from tests.hostile.scripted_server import Answer, Asked, scripted_server

LIMIT = 1 << 20
ROWS = b'{"prompt": "a", "completion": "b"}\n'
Layer = dict[str, bytes | None]  # None: a symbolic link


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tar(layer: Layer) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in layer.items():
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            elif name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            else:
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content or b""))
    return packed.getvalue()


def image(*layers: Layer, diff_id: str = "") -> tuple[bytes, dict[str, bytes]]:
    """Return a manifest, and the blobs that it names."""
    tars = [tar(layer) for layer in layers]
    packed = [gzip.compress(one, mtime=0) for one in tars]
    config = json.dumps({"rootfs": {"diff_ids": [diff_id or sha256(one) for one in tars]}}).encode()
    blobs = {sha256(blob): blob for blob in [config, *packed]}

    def named(blob: bytes) -> dict[str, object]:
        return {"mediaType": "x", "digest": sha256(blob), "size": len(blob)}

    manifest = {"schemaVersion": 2, "config": named(config), "layers": [*map(named, packed)]}
    return json.dumps(manifest).encode(), blobs


def layout(folder: Path, *layers: Layer, diff_id: str = "") -> str:
    """Put an image into a layout, and return its reference."""
    manifest, blobs = image(*layers, diff_id=diff_id)
    store = ImageLayout(folder / "layout")
    for digest, blob in blobs.items():
        (folder / "blob").write_bytes(blob)
        store.put_blob(folder / "blob", Descriptor(media_type="x", digest=digest, size=len(blob)))
    return store.put_manifest(manifest, "rows")


def pulled(reference: str, folder: Path, limit_bytes: int = LIMIT) -> dict[str, bytes]:
    into = folder / "into"
    into.mkdir()
    pull_data(reference, into, limit_bytes)
    return {str(path.relative_to(into)): path.read_bytes() for path in into.rglob("*") if path.is_file()}


def test_the_files_of_all_layers(tmp_path: Path):
    lower = {"etc/x": b"0", "data/": b"", "data/a.jsonl": b"old", "data/more/b.jsonl": b"2", "bin/sh": None}
    upper = {"./data/a.jsonl": b"new"}
    assert pulled(layout(tmp_path, lower, upper), tmp_path) == {"a.jsonl": b"new", "more/b.jsonl": b"2"}
    assert not list(tmp_path.glob(".layers-*"))


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ({"data/a.jsonl": None}, "is a link, a device or otherwise no plain file"),
        ({"data": None}, "is a link, a device or otherwise no plain file"),
        ({"../a.jsonl": b"x"}, "leaves the image's root"),
        ({"data/../../a.jsonl": b"x"}, "leaves the image's root"),
        ({"data/.wh.a.jsonl": b""}, "removes files of a layer below"),
        ({".wh.data": b""}, "removes files of a layer below"),
        ({"data/a": b"1", "data/a/b": b"2"}, "data/a/b: "),
        ({"data/" + "x" * 300: b"1"}, "name too long; refused"),
        ({"data/a.jsonl": b"x" * (LIMIT + 1)}, "unpacks to more than 1,048,576 bytes"),
    ],
)
def test_what_an_enemy_would_have_in_it_is_refused(tmp_path: Path, layer: Layer, words: str):
    with pytest.raises(InvalidInput) as told:
        pulled(layout(tmp_path, layer), tmp_path)
    assert words.lower() in str(told.value).lower()


def test_a_layer_that_is_another_one_is_refused(tmp_path: Path):
    reference = layout(tmp_path, {"data/a.jsonl": b"x"}, diff_id=f"sha256:{'0' * 64}")
    with pytest.raises(DigestMismatch, match="layer 1 unpacked"):
        pulled(reference, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "oci://host.example/rows",
        "oci:folder",
        "oci:folder:tag",
        "oci://@sha256:0",
        "oci:",
        "oci://host/a:b:c",
    ],
)
def test_what_names_no_image_is_refused(tmp_path: Path, name: str):
    with pytest.raises(InvalidInput, match=r"names no image; wanted oci://HOST/NAME:TAG"):
        pulled(name, tmp_path)


def test_a_dataset_is_read_from_a_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("TUNEGATE_PRIVATE_DATASETS", '["127.0.0.1"]')
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    manifest, blobs = image({"data/a.jsonl": ROWS, "data/README.md": b"", "data/b/c.csv": b"a,b\n"})

    def script(asked: Asked) -> Answer:
        last = asked.path.rpartition("/")[2]
        if "/manifests/" in asked.path:
            return Answer(200 if last in ("v1", sha256(manifest)) else 404, {}, [manifest])
        return Answer(200, {}, [blobs[last]]) if last in blobs else Answer(404)

    with scripted_server(script) as server:
        for reference in ("team/rows:v1", f"team/rows@{sha256(manifest)}"):
            name = f"oci://{server.host}/{reference}"
            with expanded(name, LIMIT) as files:
                assert [one.shown for one in files.sources] == [
                    f"{name}/data/a.jsonl",
                    f"{name}/data/b/c.csv",
                ]
                assert files.passed_over == (f"{name}/data/README.md",)
            assert read_contents(name, LIMIT).digests == (sha256(ROWS), sha256(b"a,b\n"))
        with pytest.raises(InvalidInput, match="no such image or repository"):
            read_contents(f"oci://{server.host}/team/rows:v2", LIMIT)
        with pytest.raises(InvalidInput, match=r"over max_dataset_bytes \(9\)"):
            read_contents(name, 9)
    assert not list(tmp_path.glob("tunegate-image-*"))


def test_a_dataset_is_read_from_a_layout(tmp_path: Path):
    (tmp_path / "more.jsonl").write_bytes(b"x")
    reference = layout(tmp_path, {"data/a.jsonl": ROWS})
    assert read_contents(f"{tmp_path}/more.jsonl + {reference}", LIMIT).digests == (
        sha256(b"x"),
        sha256(ROWS),
    )
    damaged = f"{reference[:-1]}{'0' if reference[-1] != '0' else '1'}"
    with pytest.raises(InvalidInput, match="holds no sha256:"):
        read_contents(damaged, LIMIT)


def registry_of(manifest: bytes, blobs: dict[str, bytes]) -> Callable[[Asked], Answer]:
    def script(asked: Asked) -> Answer:
        last = asked.path.rpartition("/")[2]
        return Answer(200, {}, [manifest if "/manifests/" in asked.path else blobs[last]])

    return script


@pytest.mark.parametrize(
    ("allowed", "is_read"),
    [
        pytest.param("", False, id="nothing"),
        pytest.param("login", True, id="a login"),
        pytest.param("plain", True, id="named as plain"),
        pytest.param("range", True, id="its range"),
        pytest.param("another range", False, id="another range"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_registry_within_is_asked_only_if_the_machine_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: str, is_read: bool, host: str
):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    ranges = {"range": '["127.0.0.0/8"]', "another range": '["10.0.0.0/8"]'}
    monkeypatch.setenv("TUNEGATE_PRIVATE_DATASETS", ranges.get(allowed, "[]"))
    with scripted_server(registry_of(*image({"data/a.jsonl": ROWS}))) as server:
        place = server.host.replace("127.0.0.1", host)
        if allowed == "login":
            auths = {place: {"auth": base64.b64encode(b"user:word").decode()}}
            (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        if allowed == "plain":
            monkeypatch.setenv("TUNEGATE_INSECURE_REGISTRIES", place)
        try:
            assert pulled(f"oci://{place}/rows:v1", tmp_path) == {"a.jsonl": ROWS} and is_read
        except InvalidInput as error:
            assert not is_read and "TUNEGATE_PRIVATE_DATASETS" in str(error) and host in str(error)
        assert bool(server.asked) == is_read


def test_a_registry_leads_nowhere_within(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUNEGATE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("TUNEGATE_PRIVATE_DATASETS", '["127.0.0.1"]')
    within = "http://127.0.0.2:9/blob"
    with (
        scripted_server(lambda asked: Answer(307, {"Location": within})) as server,
        pytest.raises(InvalidInput, match=r"private network \(127\.0\.0\.2\)"),
    ):
        pulled(f"oci://{server.host}/rows:v1", tmp_path)


def index_of(*listed: tuple[str, bytes]) -> bytes:
    """Return an index of manifests, each with its platform as `os/architecture`."""
    manifests = []
    for name, manifest in listed:
        system, _, architecture = name.partition("/")
        place = {"platform": {"os": system, "architecture": architecture}} if name else {}
        manifests.append({"mediaType": "x", "digest": sha256(manifest), "size": len(manifest), **place})
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}).encode()


OTHER = b"the manifest of another image"


@pytest.mark.parametrize(
    ("places", "problem"),
    [
        pytest.param(["linux/amd64", "linux/s390x"], "", id="its own platform"),
        pytest.param(["linux/s390x"], "", id="the only one"),
        pytest.param([""], "", id="the only one, without a platform"),
        pytest.param(["linux/s390x", "unknown/unknown"], "", id="the only one, and how it was built"),
        pytest.param(["linux/s390x", "linux/arm64"], "linux/s390x (sha256:", id="two others"),
        pytest.param(["linux/amd64", "linux/amd64"], "linux/amd64 (sha256:", id="two of its own"),
        pytest.param([], "there are none", id="none"),
    ],
)
def test_of_an_index_the_image_for_this_machine_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, places: list[str], problem: str
):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    layout(tmp_path, {"data/a.jsonl": ROWS})
    manifest, _ = image({"data/a.jsonl": ROWS})
    index = index_of(*zip(places, [manifest, OTHER], strict=False))
    (tmp_path / "layout" / "blobs" / "sha256" / sha256(index).removeprefix("sha256:")).write_bytes(index)
    reference = f"oci:{tmp_path / 'layout'}@{sha256(index)}"
    if not problem:
        assert pulled(reference, tmp_path) == {"a.jsonl": ROWS}
        return
    with pytest.raises(InvalidInput) as told:
        pulled(reference, tmp_path)
    assert problem in str(told.value) and "for linux/amd64" in str(told.value)


def test_what_would_be_an_index_and_an_image_is_no_index():
    manifest, _ = image({"data/a.jsonl": ROWS})
    assert (
        image_of(json.dumps(json.loads(manifest) | json.loads(index_of(("", OTHER)))).encode(), "x") is None
    )


@pytest.mark.parametrize(
    "layers",
    [
        [{f"data/{n}": b"" for n in range(11)}],
        [{f"data/{n}": b"" for n in range(6)}, {f"data/{n}": b"" for n in range(6)}],
        [{"data/" + "d/" * 10 + "a": b""}],
    ],
    ids=["in one layer", "over all layers", "folders"],
)
def test_files_are_counted_however_small_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: list[Layer]
):
    monkeypatch.setattr(data_images, "MAX_ENTRIES", 10)
    with pytest.raises(InvalidInput, match="has more than 10 files and folders under /data"):
        pulled(layout(tmp_path, *layers), tmp_path)
    assert len([*(tmp_path / "into").rglob("*")]) <= 10


def test_images_of_one_parameter_share_its_limit(tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = layout(tmp_path / "one", {"data/a.jsonl": b"a" * 30_000})
    two = layout(tmp_path / "two", {"data/a.jsonl": b"b" * 30_000})
    limit = 60_000
    for alone in (one, two):
        with expanded(alone, limit):
            pass
    with pytest.raises(InvalidInput, match="unpacks to more than"), expanded(f"{one} + {two}", limit):
        pass
    first = len(tar({"data/a.jsonl": b"a" * 30_000}))
    told = rf"with the {first:,} of the images before it, over max_dataset_bytes \({first:,}\)"
    with pytest.raises(InvalidInput, match=told), expanded(f"{one} + {two}", first):
        pass


def test_a_disk_that_fills_while_an_image_is_unpacked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    reference = layout(tmp_path, {"data/a.jsonl": ROWS * 10})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(InvalidInput, match=r"a\.jsonl: File too large"), expanded(reference, LIMIT):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [*temporary.iterdir()]
