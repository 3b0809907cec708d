"""The reader of archives agrees with Python's own on what honest writers write."""

import io
import random
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.oci.tar import FOLDER, REGULAR, TarReader

Found = list[tuple[str, bool, bytes]]


def read(archive: bytes) -> Found:
    reader = TarReader(io.BytesIO(archive), "layer 1")
    return [
        (entry.name.rstrip("/"), entry.kind == REGULAR, b"".join(reader.content()))
        for entry in reader
        if entry.kind in (REGULAR, FOLDER)
    ]


def read_by_python(archive: bytes) -> Found:
    found: Found = []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as reader:
        for entry in reader:
            if entry.isreg() or entry.isdir():
                content = reader.extractfile(entry)
                found.append((entry.name, entry.isreg(), content.read() if content else b""))
    return found


def some_archive(chance: random.Random, form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as archive:
        for _ in range(chance.randint(0, 12)):
            letters = "ab/é. \udcff" if form != tarfile.USTAR_FORMAT else "ab/. "
            length = chance.choice([1, 20, 99, 100, 101, 155, 256, 257, 3000])
            name = "".join(chance.choice(letters) for _ in range(length))
            name = (name[:90] if form == tarfile.USTAR_FORMAT else name).strip("/") or "a"
            entry = tarfile.TarInfo(name)
            entry.type = chance.choice([tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE])
            entry.linkname = "l" * chance.choice([0, 90 if form == tarfile.USTAR_FORMAT else 200])
            entry.mtime = chance.choice([0, 1_700_000_000])
            content = b""
            if entry.isreg():
                content = chance.randbytes(chance.choice([0, 1, 511, 512, 513, 2000]))
                entry.size = len(content)
            if form == tarfile.PAX_FORMAT and chance.random() < 0.3:
                entry.pax_headers = {"SCHILY.xattr.user.x": "v" * 300, "comment": "é"}
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("seed", range(20))
def test_it_reads_what_pythons_reader_reads(form: int, seed: int) -> None:
    archive = some_archive(random.Random(seed), form)
    assert read(archive) == read_by_python(archive)


@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_it_reads_what_gnu_tar_writes(tmp_path: Path, form: str) -> None:
    if shutil.which("tar") is None:
        pytest.skip("no tar here; apt-get install tar")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "adapter_config.json").write_bytes(b"{}")
    (tmp_path / "data" / ("n" * 95 if form in ("v7", "ustar") else "n" * 200)).write_bytes(b"content")
    with (tmp_path / "data" / "holes").open("wb") as holes:
        for place in range(0, 60 << 16, 1 << 16):  # more pieces than one header has room for
            holes.seek(place)
            holes.write(b"x")
    sparse = ["--sparse"] if form in ("oldgnu", "gnu", "posix") else []
    command = ["tar", f"--format={form}", *sparse, "-cf", "a.tar", "data"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    found = {name: content for name, regular, content in read((tmp_path / "a.tar").read_bytes()) if regular}
    assert found["data/adapter_config.json"] == b"{}"
    assert b"content" in found.values()
    assert ("data/holes" in found) == (not sparse)


def test_a_size_beyond_octal_is_read() -> None:
    entry = tarfile.TarInfo("large")
    entry.size = 20 << 30
    reader = iter(TarReader(io.BytesIO(entry.tobuf(tarfile.GNU_FORMAT)), "layer 1"))
    assert next(reader).size == 20 << 30
    with pytest.raises(InvalidInput, match="is cut off"):
        next(reader)


def test_signed_checksums_of_old_writers_are_read() -> None:
    block = bytearray(tarfile.TarInfo("\udcff\udcff").tobuf(tarfile.GNU_FORMAT, errors="surrogateescape"))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(value - 256 if value > 127 else value for value in block)
    assert read(bytes(block)) == [("\udcff\udcff", True, b"")]


@pytest.mark.parametrize("cut", [0, 1, 511, 513, 1000, 1023])
def test_an_archive_that_is_cut_off_is_none(cut: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("n" * 150)
        entry.size = 700
        archive.addfile(entry, io.BytesIO(bytes(700)))
    with pytest.raises(InvalidInput, match=r"layer 1(?s:.*)is no tar archive with gzip or without: it is"):
        read(out.getvalue()[:cut])
