import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import DigestMismatch, InvalidInput
from components.oci import layers
from components.oci import tar as tar_module
from components.oci.adapters import ADAPTER_FILES
from components.oci.hashing import HashingWriter
from components.oci.layers import unpack_layer

CONFIG, WEIGHTS = (f"data/{name}" for name in ADAPTER_FILES)
Entry = tarfile.TarInfo | tuple[str, bytes]


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def tar(*entries: Entry) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                archive.addfile(info, io.BytesIO(entry[1]))
    return out.getvalue()


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[bytes], dict[str, bytes]]:
    """Unpack a plain tar as a layer and return the files that came out."""

    def run(plain: bytes, packed: bytes | None = None) -> dict[str, bytes]:
        layer, into = tmp_path / "layer", tmp_path / "into"
        into.mkdir(exist_ok=True)
        layer.write_bytes(gzip.compress(plain) if packed is None else packed)
        diff_id = HashingWriter()
        diff_id.write(plain)
        unpack_layer(layer, diff_id.digest, into, "layer 1", 1 << 30)
        return {file.name: file.read_bytes() for file in into.iterdir()}

    return run


Unpack = Callable[..., dict[str, bytes]]


@pytest.mark.parametrize("prefix", ["", "./"], ids=["plain names", "names with ./"])
def test_the_two_files_are_taken_and_all_others_ignored(unpack: Unpack, prefix: str) -> None:
    plain = tar(
        special("bin", tarfile.SYMTYPE, "usr/bin"),
        special("dev/null", tarfile.CHRTYPE),
        special(f"{prefix}data", tarfile.DIRTYPE),
        special(f"{prefix}data/checkpoint-10", tarfile.DIRTYPE),
        (f"{prefix}data/checkpoint-10/adapter_config.json", b"of a checkpoint"),
        (f"{prefix}{CONFIG}", b"{}"),
        (f"{prefix}{WEIGHTS}", b"weights"),
        ("etc/.wh.hosts", b""),
    )
    assert unpack(plain) == {"adapter_config.json": b"{}", "adapter_model.safetensors": b"weights"}


def test_a_layer_need_not_be_compressed(unpack: Unpack) -> None:
    plain = tar((CONFIG, b"{}"))
    assert unpack(plain, packed=plain) == {"adapter_config.json": b"{}"}


def test_a_later_layer_wins(unpack: Unpack) -> None:
    unpack(tar((CONFIG, b"old"), (WEIGHTS, b"weights")))
    assert unpack(tar((CONFIG, b"new"))) == {
        "adapter_config.json": b"new",
        "adapter_model.safetensors": b"weights",
    }


HOSTILE: dict[str, tuple[list[Entry], str]] = {
    "absolute path": ([("/data/adapter_config.json", b"{}")], "leaves the image's root"),
    "parent path": ([("data/../../adapter_config.json", b"{}")], "leaves the image's root"),
    "parent path elsewhere": ([("etc/../../x", b"")], "leaves the image's root"),
    "symbolic link": ([special(CONFIG, tarfile.SYMTYPE, "/etc/passwd")], "is a link, a device"),
    "hard link": ([special(WEIGHTS, tarfile.LNKTYPE, "etc/passwd")], "is a link, a device"),
    "link for the folder": ([special("data", tarfile.SYMTYPE, "etc")], "is a link, a device"),
    "link beside the adapter": ([special("data/x", tarfile.SYMTYPE, "/etc")], "is a link, a device"),
    "file for the folder": ([("data", b"")], "is a link, a device"),
    "folder for the file": ([special(CONFIG, tarfile.DIRTYPE)], "is a link, a device"),
    "device": ([special(CONFIG, tarfile.CHRTYPE)], "is a link, a device"),
    "sparse file": ([special(WEIGHTS, tarfile.GNUTYPE_SPARSE)], "is a link, a device"),
    "pipe": ([special(CONFIG, tarfile.FIFOTYPE)], "is a link, a device"),
    "duplicate": ([(CONFIG, b"{}"), ("./" + CONFIG, b"{ }")], "is there twice"),
    "whiteout of a file": ([("data/.wh.adapter_config.json", b"")], "a whiteout"),
    "whiteout of the folder": ([(".wh.data", b"")], "a whiteout"),
    "opaque folder": ([("data/.wh..wh..opq", b"")], "a whiteout"),
    "opaque root": ([(".wh..wh..opq", b"")], "a whiteout"),
    "huge config": ([(CONFIG, b" " * (layers.MAX_CONFIG_BYTES + 1))], "at most 1,048,576 are allowed"),
}


@pytest.mark.parametrize(("entries", "words"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_layer_is_refused(unpack: Unpack, entries: list[Entry], words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as raised:
        unpack(tar(*entries))
    assert "layer 1" in str(raised.value)
    assert "refused" in str(raised.value)


def test_a_bomb_is_refused_before_it_is_unpacked(
    unpack: Unpack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    with pytest.raises(InvalidInput, match=r"unpacks to more than 1,048,576 bytes; refused"):
        unpack(tar((WEIGHTS, bytes(8 << 20))))
    assert list((tmp_path / "into").iterdir()) == []


def test_bytes_behind_the_archive_count_as_well(unpack: Unpack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "ALWAYS_ALLOWED_BYTES", 1 << 20)
    with pytest.raises(InvalidInput, match="unpacks to more than"):
        unpack(tar((CONFIG, b"{}")) + bytes(8 << 20))


def test_too_many_entries_are_refused(unpack: Unpack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_module, "MAX_ENTRIES", 3)
    with pytest.raises(InvalidInput, match="more than 3 entries"):
        unpack(tar(*((f"etc/{number}", b"") for number in range(4))))


BROKEN = {
    "not an archive": os.urandom(2000),
    "cut off": gzip.compress(tar((WEIGHTS, os.urandom(50_000))))[:20_000],
    "damaged stream": gzip.compress(b"\0" * 100)[:12] + b"\xff" * 200,
}


@pytest.mark.parametrize("packed", BROKEN.values(), ids=BROKEN)
def test_a_broken_layer_is_no_archive(unpack: Unpack, packed: bytes) -> None:
    with pytest.raises(InvalidInput, match="is no tar archive"):
        unpack(b"", packed=packed)


def test_a_layer_that_unpacks_to_something_else_is_refused(unpack: Unpack) -> None:
    with pytest.raises(DigestMismatch, match=r"layer 1 unpacked: got sha256:.* the image is damaged"):
        unpack(tar((CONFIG, b"{}")), packed=gzip.compress(tar((CONFIG, b"{ }"))))
