import errno
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.errors import DigestMismatch, InvalidInput, TunegateError
from components.oci.adapter_images import PushedImage, pull_adapter, push_adapter
from components.oci.adapters import ADAPTER_FILES, adapter_digest
from components.oci.image import canonical_json

NOTES = {"sh.kaito.model.name": "base"}


def make_adapter(folder: Path, config: bytes = b'{"r": 16}', weights: bytes = b"weights") -> Path:
    folder.mkdir()
    for name, content in zip(ADAPTER_FILES, (config, weights), strict=True):
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return make_adapter(tmp_path / "adapter")


@pytest.fixture
def pushed(state: Path, adapter: Path) -> PushedImage:
    return push_adapter(adapter, "", NOTES, "tuned")


def blob(state: Path, digest: str) -> Path:
    return state / "images" / "blobs" / "sha256" / digest.removeprefix("sha256:")


def document(state: Path, digest: str) -> dict:  # type: ignore[type-arg]
    return json.loads(blob(state, digest).read_bytes())  # type: ignore[no-any-return]


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if path.name != ".lock"]


def test_an_adapter_comes_back_as_it_went(state: Path, adapter: Path, pushed: PushedImage) -> None:
    target = state / "adapters" / "one"

    assert pull_adapter(pushed.reference, pushed.adapter_digest, target) == target
    assert pushed.adapter_digest == adapter_digest(adapter) == adapter_digest(target)
    assert {file.name for file in target.iterdir()} == set(ADAPTER_FILES)
    assert pushed.reference == f"oci:{state / 'images'}@{pushed.manifest_digest}"
    assert leftovers(state) == []


def test_the_image_has_the_layout_of_kaito(state: Path, pushed: PushedImage) -> None:
    manifest = document(state, pushed.manifest_digest)
    (layer,), config = manifest["layers"], manifest["config"]
    packed = blob(state, layer["digest"]).read_bytes()

    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["annotations"] == NOTES
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert config["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert document(state, config["digest"]) == {
        "rootfs": {"type": "layers", "diff_ids": [pushed.adapter_digest]}
    }
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed))) as tar:
        assert tar.getnames() == ["data", "data/adapter_config.json", "data/adapter_model.safetensors"]
    sizes = [blob(state, digest).stat().st_size for digest in (pushed.manifest_digest, config["digest"])]
    assert pushed.size_bytes == sum(sizes) + len(packed)


def test_the_layout_is_one_that_other_tools_read(state: Path, pushed: PushedImage) -> None:
    images = state / "images"
    assert json.loads((images / "oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads((images / "index.json").read_bytes()) == {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": pushed.manifest_digest,
                "size": blob(state, pushed.manifest_digest).stat().st_size,
                "annotations": {"org.opencontainers.image.ref.name": f"tuned-{pushed.manifest_digest[7:19]}"},
            }
        ],
    }


def test_the_same_adapter_gives_the_same_image(tmp_path: Path, state: Path, pushed: PushedImage) -> None:
    twin = make_adapter(tmp_path / "twin")
    os.utime(twin / ADAPTER_FILES[0], (1, 1))
    again = push_adapter(twin, f"oci:{tmp_path / 'elsewhere'}", NOTES, "tuned")
    noted = push_adapter(twin, "", {**NOTES, "ai.tunegate.evaluation-run": "7"}, "tuned")

    assert again.manifest_digest == pushed.manifest_digest
    assert again.reference.startswith(f"oci:{tmp_path / 'elsewhere'}@")
    assert noted.manifest_digest != pushed.manifest_digest
    assert noted.adapter_digest == pushed.adapter_digest


def test_images_live_side_by_side_also_when_pushed_at_once(tmp_path: Path, state: Path) -> None:
    adapters = [make_adapter(tmp_path / str(n), weights=bytes([n]) * 5000) for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda each: push_adapter(each, "", NOTES, "tuned"), [*adapters, *adapters]))

    index = json.loads((state / "images" / "index.json").read_bytes())["manifests"]
    assert sorted(entry["digest"] for entry in index) == sorted({i.manifest_digest for i in images})
    for number, image in enumerate(images[:8]):
        pull_adapter(image.reference, image.adapter_digest, tmp_path / "out" / str(number))


def flip(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("part", "words"),
    [("manifest", "its manifest"), ("config", "its config"), ("layer", "layer 1")],
    ids=["manifest", "config", "layer"],
)
@pytest.mark.parametrize("damage", [flip, lambda content: content[:-1]], ids=["a bit", "cut off"])
def test_damage_is_found_and_a_push_repairs_it(
    state: Path,
    adapter: Path,
    pushed: PushedImage,
    part: str,
    words: str,
    damage: Callable[[bytes], bytes],
) -> None:
    manifest = document(state, pushed.manifest_digest)
    digests = {
        "manifest": pushed.manifest_digest,
        "config": manifest["config"]["digest"],
        "layer": manifest["layers"][0]["digest"],
    }
    damaged, target = blob(state, digests[part]), state / "adapters" / "one"
    damaged.write_bytes(damage(damaged.read_bytes()))

    with pytest.raises(DigestMismatch, match=f"{words}: got .*, wanted .*; the image is damaged: push it"):
        pull_adapter(pushed.reference, pushed.adapter_digest, target)
    assert not target.exists()
    assert leftovers(state) == []

    assert push_adapter(adapter, "", NOTES, "tuned") == pushed
    pull_adapter(pushed.reference, pushed.adapter_digest, target)


def test_a_missing_blob_is_named(state: Path, pushed: PushedImage) -> None:
    layer = document(state, pushed.manifest_digest)["layers"][0]["digest"]
    blob(state, layer).unlink()
    with pytest.raises(InvalidInput, match=f"holds no {layer}"):
        pull_adapter(pushed.reference, pushed.adapter_digest, state / "out")


def test_another_adapter_than_the_evaluated_one_is_not_used(state: Path, pushed: PushedImage) -> None:
    other = f"sha256:{'0' * 64}"
    with pytest.raises(DigestMismatch, match=f"holds adapter {pushed.adapter_digest}, wanted {other}"):
        pull_adapter(pushed.reference, other, state / "out")
    assert not (state / "out").exists()


def test_what_was_pulled_is_not_pulled_again(state: Path, pushed: PushedImage) -> None:
    pull_adapter(pushed.reference, pushed.adapter_digest, state / "out")
    blob(state, pushed.manifest_digest).unlink()
    pull_adapter(pushed.reference, pushed.adapter_digest, state / "out")


def test_a_damaged_adapter_is_not_replaced_behind_the_users_back(state: Path, pushed: PushedImage) -> None:
    target = pull_adapter(pushed.reference, pushed.adapter_digest, state / "out")
    (target / ADAPTER_FILES[1]).write_bytes(b"Weights")
    blob(state, pushed.manifest_digest).unlink()  # noticed before anything is fetched
    with pytest.raises(InvalidInput, match="holds something else than this adapter; remove it"):
        pull_adapter(pushed.reference, pushed.adapter_digest, target)
    assert (target / ADAPTER_FILES[1]).read_bytes() == b"Weights"


@pytest.mark.parametrize(
    "reference",
    ["", "oci:/images", "registry.example/a:latest", "registry.example/a@sha256:12", "a@md5:0"],
    ids=["empty", "layout", "tag", "short digest", "other digest"],
)
def test_an_image_without_a_digest_is_refused(state: Path, reference: str) -> None:
    with pytest.raises(InvalidInput, match="is not named by digest"):
        pull_adapter(reference, f"sha256:{'0' * 64}", state / "out")


def craft(state: Path, manifest: dict) -> str:  # type: ignore[type-arg]
    """Put a manifest into the layout by hand and return its reference."""
    return f"oci:{state / 'images'}@{put(state, canonical_json(manifest))['digest']}"


def put(state: Path, content: bytes, media_type: str = "x") -> dict:  # type: ignore[type-arg]
    import hashlib

    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    blob(state, digest).parent.mkdir(parents=True, exist_ok=True)
    blob(state, digest).write_bytes(content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def plain_layer(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def test_an_image_of_several_layers_that_others_built_is_read(state: Path, adapter: Path) -> None:
    layers = [
        plain_layer(("bin/sh", b"#!"), ("data/adapter_config.json", b"{}")),
        plain_layer(*((f"./data/{name}", (adapter / name).read_bytes()) for name in ADAPTER_FILES)),
    ]
    config = put(
        state,
        canonical_json({"os": "linux", "rootfs": {"diff_ids": [put(state, x)["digest"] for x in layers]}}),
    )
    docker = "application/vnd.docker.distribution.manifest.v2+json"
    described = [put(state, gzip.compress(layer)) for layer in layers]
    reference = craft(state, {"schemaVersion": 2, "mediaType": docker, "config": config, "layers": described})

    target = pull_adapter(reference, adapter_digest(adapter), state / "out")
    assert adapter_digest(target) == adapter_digest(adapter)


def test_what_is_no_adapter_image_is_refused(state: Path) -> None:
    layer = plain_layer(("data/adapter_config.json", b"{}"))
    described = put(state, layer)
    fitting = put(state, canonical_json({"rootfs": {"diff_ids": [described["digest"]]}}))
    image = {"schemaVersion": 2, "config": fitting, "layers": [described]}
    index = "application/vnd.oci.image.index.v1+json"
    two = put(state, canonical_json({"rootfs": {"diff_ids": []}}))
    cases = {
        "data/adapter_model.safetensors: not in the image": image,
        "is no image manifest": {"schemaVersion": 2, "mediaType": index, "manifests": []},
        f"mediaType: got '{index}'": {**image, "mediaType": index},
        "its config lists 0 diff_ids, its manifest 1 layers": {**image, "config": two},
        "its config is malformed: rootfs: Field required": {**image, "config": put(state, b"{}")},
        "layers: Tuple should have at least 1 item": {**image, "layers": []},
        "its config has 5,000,000 bytes": {**image, "config": {**fitting, "size": 5_000_000}},
    }
    for words, manifest in cases.items():
        with pytest.raises(InvalidInput) as raised:
            pull_adapter(craft(state, manifest), f"sha256:{'0' * 64}", state / "out")
        assert words in str(raised.value)
        assert not (state / "out").exists()


@pytest.mark.parametrize(
    "write", range(6), ids=["layer", "config", "1st blob", "2nd blob", "manifest", "index"]
)
def test_a_full_disk_leaves_nothing_half_done(
    state: Path, tmp_path: Path, pushed: PushedImage, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    other = make_adapter(tmp_path / "other", weights=b"other weights")
    index = (state / "images" / "index.json").read_bytes()
    done, fsync = [], os.fsync

    def full(descriptor: int) -> None:
        done.append(descriptor)
        if len(done) > write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patched, pytest.raises(TunegateError) as raised:
        patched.setattr(os, "fsync", full)
        push_adapter(other, "", {"other": "notes"}, "tuned")
    assert "No space left on device; nothing was kept of it. Free some space and run again" in str(
        raised.value
    )
    assert (state / "images" / "index.json").read_bytes() == index
    assert leftovers(state) == []

    pull_adapter(pushed.reference, pushed.adapter_digest, state / "out")
    again = push_adapter(other, "", {"other": "notes"}, "tuned")
    pull_adapter(again.reference, again.adapter_digest, state / "other")


def test_a_file_size_limit_of_the_system_ends_in_one_clear_error(state: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", weights=os.urandom(200_000))
    script = (
        "import resource, sys; from pathlib import Path\n"
        "from components.oci.adapter_images import push_adapter\n"
        "from components.errors import TunegateError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: push_adapter(Path(sys.argv[1]), '', {}, 'tuned')\n"
        "except TunegateError as error: print(error)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(adapter)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "File too large; nothing was kept of it" in ended.stdout
    assert leftovers(state) == []
    assert not (state / "images").exists()


def test_a_full_disk_while_pulling_leaves_no_adapter(
    state: Path, pushed: PushedImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched, pytest.raises(TunegateError, match="No space left on device"):
        patched.setattr(os, "fsync", full)
        pull_adapter(pushed.reference, pushed.adapter_digest, state / "adapters" / "one")
    assert list((state / "adapters").iterdir()) == []


def test_a_directory_that_is_no_layout_is_left_alone(state: Path, adapter: Path) -> None:
    (state / "images").mkdir()
    (state / "images" / "index.json").write_text("[]")
    with pytest.raises(InvalidInput, match=r"index\.json.*(?s:.*)is no index of an OCI image layout"):
        push_adapter(adapter, "", NOTES, "tuned")
    assert (state / "images" / "index.json").read_text() == "[]"
