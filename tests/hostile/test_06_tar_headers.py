"""A layer's headers take no memory, however long they say they are (item 6)."""

import functools
import gzip
import hashlib
import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.oci import gunzip, tar
from components.oci.layers import unpack_layer
from tests.hostile.memory import little_memory

MEMORY_BYTES = 6 << 20  # a few pieces of 1 MiB
LARGE_BYTES = 20 << 20
LIMIT_BYTES = 1 << 30


def header(kind: bytes, size: int, name: str = "x", map_goes_on: bool = False) -> bytes:
    """Return one block of 512 bytes that says so."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    block[156:157] = kind
    if map_goes_on:
        block[482] = 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def record(key: bytes, value: bytes) -> bytes:
    length = len(key) + len(value) + 3
    while length != len(b"%d %s=%s\n" % (length, key, value)):
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


CONFIG = header(b"0", 2, "data/adapter_config.json") + padded(b"{}")
END = bytes(1024)

Unpack = Callable[[bytes], dict[str, bytes]]


@pytest.fixture(params=["plain", "gzip"])
def unpack(tmp_path: Path, request: pytest.FixtureRequest) -> Unpack:
    """Unpack a layer in little memory and return what came out of it."""

    def run(plain: bytes, packed: bytes | None = None) -> dict[str, bytes]:
        layer, into = tmp_path / "layer", tmp_path / "into"
        into.mkdir(exist_ok=True)
        layer.write_bytes(packed or (plain if request.param == "plain" else gzip.compress(plain, 1)))
        digest = f"sha256:{hashlib.sha256(plain).hexdigest()}"
        with little_memory(MEMORY_BYTES):
            unpack_layer(layer, digest, into, "layer 1", LIMIT_BYTES)
        return {file.name: file.read_bytes() for file in into.iterdir()}

    return run


LARGE, BOMB_BYTES = bytes(LARGE_BYTES), 80 << 20
NOTE = record(b"SCHILY.xattr.user.x", b"v" * LARGE_BYTES)
PIECES = b"".join(b"%d\n" % number for number in range(1_000_000))
HEADERS: dict[str, tuple[bytes, str]] = {
    "a long name": (header(b"L", LARGE_BYTES) + LARGE, "type L.* at most 16,384 are read"),
    "a long link": (header(b"K", LARGE_BYTES) + LARGE, "type K.* at most 16,384 are read"),
    "PAX notes": (header(b"x", len(NOTE)) + padded(NOTE), "type x.* at most 16,384 are read"),
    "PAX notes for all": (header(b"g", len(NOTE)) + padded(NOTE), "type g.* at most 16,384 are read"),
    "a length that nothing follows": (header(b"L", 1 << 40), "has 1,099,511,627,776 bytes"),
    "a negative length": (
        (lambda block: block[:124] + b"\xff" * 12 + block[136:])(header(b"L", 1)),
        "checksum is wrong",
    ),
    "a map of holes": (
        header(b"S", 0, map_goes_on=True) + (b"1" * 504 + b"\1" + bytes(7)) * (LARGE_BYTES // 512),
        "the map of its holes has more than 16,384 bytes",
    ),
    "a name of 16,000 letters": (
        header(b"L", 16_000) + padded(b"a" * 16_000) + header(b"0", 0),
        "its name has more than 4,096 characters",
    ),
    "a PAX name of 16,000 letters": (
        header(b"x", 16_019) + padded(record(b"path", b"a" * 16_007)) + header(b"0", 0),
        "its name has more than 4,096 characters",
    ),
    "headers without end": (
        header(b"x", 0) + header(b"L", 2) + padded(b"a\0") + header(b"x", 0) * 40_000,
        "two headers of type x for one entry",
    ),
    "long names without end": ((header(b"L", 2) + padded(b"a\0")) * 20_000, "two headers of type L"),
    "two names": (
        header(b"L", 2) + padded(b"a\0") + header(b"x", 9) + padded(record(b"path", b"b")) + header(b"0", 0),
        "is named twice",
    ),
    "a path for all": (header(b"g", 9) + padded(record(b"path", b"b")), "gives all entries one path"),
    "a size for all": (header(b"g", 9) + padded(record(b"size", b"5")), "gives all entries one size"),
    "a zero in a name": (
        header(b"x", 30) + padded(record(b"path", b"data/adapter_config.json\0.x")[:30]) + header(b"0", 0),
        "malformed",
    ),
    "a name that goes on behind a zero": (
        header(b"x", len(record(b"path", b"data/a\0b"))) + padded(record(b"path", b"data/a\0b")),
        "has a zero in its name",
    ),
    "a record without end": (header(b"x", 9) + padded(b"999 path=b\n"), "its PAX header is malformed"),
    "a record of no length": (header(b"x", 9) + padded(b"0 path=b\n"), "its PAX header is malformed"),
    "a length of a million digits": (header(b"x", 16_000) + padded(b"9" * 16_000), "is malformed"),
    "a size that is none": (
        header(b"x", 12) + padded(record(b"size", b"-12")) + header(b"0", 0),
        "has no number as size",
    ),
    "a sparse adapter": (
        header(b"S", 0, "data/adapter_model.safetensors"),
        "is a link, a device or otherwise no plain file",
    ),
    "a sparse adapter in PAX": (
        (lambda notes: header(b"x", len(notes)) + padded(notes))(
            record(b"GNU.sparse.major", b"1")
            + record(b"GNU.sparse.minor", b"0")
            + record(b"GNU.sparse.name", b"data/adapter_model.safetensors")
        )
        + header(b"0", len(PIECES), "data/GNUSparseFile.0/adapter_model.safetensors")
        + padded(PIECES),
        "data/adapter_model.safetensors: is a link, a device or otherwise no plain file",
    ),
}


@pytest.mark.parametrize(("layer", "words"), HEADERS.values(), ids=HEADERS)
def test_a_header_makes_no_memory(unpack: Unpack, layer: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as raised:
        unpack(CONFIG + layer + END)
    assert "layer 1" in str(raised.value)
    assert len(str(raised.value)) < 1000


def test_a_map_of_holes_in_the_content_is_passed_over(unpack: Unpack) -> None:
    """Python's reader takes it into memory, however long, as soon as notes say that it is one."""
    notes = (
        record(b"GNU.sparse.major", b"1")
        + record(b"GNU.sparse.minor", b"0")
        + record(b"GNU.sparse.name", b"var/log")
    )
    content = b"3000000\n" + PIECES
    layer = header(b"x", len(notes)) + padded(notes) + header(b"0", len(content)) + padded(content)
    assert unpack(layer + CONFIG + END) == {"adapter_config.json": b"{}"}


def test_many_entries_make_no_memory(unpack: Unpack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar, "MAX_ENTRIES", 2000)
    entry = header(b"x", 0) + header(b"0", 0, "etc/file")
    with pytest.raises(InvalidInput, match=r"has more than 2,000 entries"):
        unpack(entry * 2000 + CONFIG + END)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_what_honest_writers_put_into_headers_is_read(unpack: Unpack, form: int) -> None:
    out = io.BytesIO()
    notes = {"comment": "c" * 4000} if form == tarfile.PAX_FORMAT else {}
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=notes) as archive:
        for name, content in {
            "usr/" + "f" * (80 if form == tarfile.USTAR_FORMAT else 3000): b"x" * 700,
            "./data/adapter_config.json": b"{}",
            ("d" * 90 + "/") + "f" * 90: b"y",
            "data/adapter_model.safetensors": os.urandom(3000),
        }.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.pax_headers = {"SCHILY.xattr.user.note": "n" * 3000} if notes else {}
            archive.addfile(entry, io.BytesIO(content))
    assert set(unpack(out.getvalue())) == {"adapter_config.json", "adapter_model.safetensors"}


def gzip_with_name(plain: bytes, name: bytes) -> bytes:
    packed = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = b"\x1f\x8b\x08\x08" + bytes(6) + name + b"\0"
    end = struct.pack("<II", zlib.crc32(plain), len(plain))
    return start + packed.compress(plain) + packed.flush() + end


def test_a_long_name_in_the_head_of_gzip_makes_no_memory(unpack: Unpack) -> None:
    plain = CONFIG + END
    packed = gzip_with_name(plain, b"n" * LARGE_BYTES)
    assert unpack(plain, packed) == {"adapter_config.json": b"{}"}


def test_a_layer_of_many_pieces_is_read_up_to_a_limit(
    unpack: Unpack, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = CONFIG + END
    pieces = b"".join(gzip.compress(plain[place : place + 100]) for place in range(0, len(plain), 100))
    monkeypatch.setattr(gunzip, "MAX_MEMBERS", 1000)
    with pytest.raises(InvalidInput, match=r"is packed in more than 1,000 pieces"):
        unpack(plain, pieces + gzip.compress(b"") * 1000)


def test_a_layer_of_many_pieces_is_read(unpack: Unpack) -> None:
    plain = CONFIG + END
    pieces = b"".join(gzip.compress(plain[place : place + 100]) for place in range(0, len(plain), 100))
    assert unpack(plain, pieces + bytes(100_000)) == {"adapter_config.json": b"{}"}


@functools.cache
def packed_bomb(start: bytes) -> bytes:
    return gzip.compress(start + bytes(BOMB_BYTES), 1)


@pytest.mark.parametrize("name", ["data/adapter_model.safetensors", "etc/zeros"])
def test_a_bomb_makes_neither_memory_nor_files(unpack: Unpack, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"unpacks to more than 67,108,864 bytes"):
        unpack(CONFIG, packed_bomb(header(b"0", BOMB_BYTES, name)))
    with pytest.raises(InvalidInput, match=r"unpacks to more than 67,108,864 bytes"):
        unpack(CONFIG, packed_bomb(CONFIG + END))
    assert [file.name for file in (tmp_path / "into").iterdir()] in ([], ["adapter_config.json"])


def test_zstd_is_said_not_to_be_read(unpack: Unpack) -> None:
    with pytest.raises(InvalidInput, match=r"is packed with zstd, which is not read"):
        unpack(b"", b"\x28\xb5\x2f\xfd" + bytes(100))
