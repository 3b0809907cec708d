"""A file is limited by what it unpacks to as well as by what arrives, while it streams."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow
import pytest
from pyarrow import parquet

from components.dataset.files.load import RowFile
from components.errors import InvalidInput
from components.sources.content import open_source
from components.sources.digests import read_contents
from pipelines.params import ReleaseParams
from pipelines.preflight import preflight
from tests.hostile.scripted_server import Answer, Asked, endless, scripted_server

MIB = 1 << 20
pytestmark = pytest.mark.usefixtures("from_loopback")
LINE = json.dumps({"prompt": "Where is the cat?", "completion": "In aisle 4."}).encode() + b"\n"


def zstd(content: bytes) -> bytes:
    return pyarrow.Codec("zstd", compression_level=19).compress(content, asbytes=True)


def zipped(content: bytes, method: int = zipfile.ZIP_DEFLATED, name: str = "rows.jsonl") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
    "zip": zipped,
}


def write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def refused(source: str, limit_bytes: int = 1 << 36) -> str:
    with pytest.raises(InvalidInput) as told:
        read_contents(source, limit_bytes)
    assert len(told.value.problems) == 1
    return str(told.value)


@pytest.mark.parametrize("ending", PACK)
def test_what_it_unpacks_to_is_limited(tmp_path: Path, ending: str):
    name = write(tmp_path / f"rows.jsonl.{ending}", PACK[ending](LINE * 20_000))
    words = refused(name, limit_bytes=MIB)
    assert name in words and "over max_dataset_bytes (1,048,576)" in words and "unpacks to" in words


@pytest.mark.parametrize("ending", PACK)
def test_a_file_at_its_limit_is_read(tmp_path: Path, ending: str):
    content = Random(1).randbytes(300_000)
    name = write(tmp_path / f"rows.{ending}", PACK[ending](content))
    with open_source(name, Path(name).stat().st_size) as file:
        assert b"".join(iter(file.read, b"")) == content


@pytest.fixture
def little_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge the ratio of small files, too: large ones take a while to make."""
    monkeypatch.setattr("components.sources.content.FREE_BYTES", 256 << 10)


@pytest.mark.usefixtures("little_free")
@pytest.mark.parametrize("ending", PACK)
def test_a_bomb_is_known_by_its_ratio(tmp_path: Path, ending: str):
    name = write(tmp_path / f"rows.jsonl.{ending}", PACK[ending](bytes(20 * MIB)))
    words = refused(name)
    assert "as no file of rows does" in words and "unpack it and name what comes out" in words


@pytest.mark.parametrize("ending", ["bz2", "xz", "zst"])
def test_no_more_than_a_chunk_comes_out_of_one_read(tmp_path: Path, ending: str):
    name = write(tmp_path / f"rows.jsonl.{ending}", PACK[ending](bytes(20 * MIB)))
    with open_source(name, 1 << 36) as file:
        assert len(file.read(1 << 40)) <= MIB


@pytest.mark.usefixtures("little_free")
@pytest.mark.parametrize(
    ("ending", "shared"), [("gz", 8_000), ("zip", 8_000), ("xz", 100_000), ("zst", 100_000)]
)
def test_honest_rows_that_share_a_long_prompt_are_read(tmp_path: Path, ending: str, shared: int):
    random = Random(1)
    words = ["".join(random.choices("abcdefghijklmnop", k=random.randint(2, 9))) for _ in range(5000)]
    system = " ".join(random.choices(words, k=shared // 6))
    rows = "\n".join(
        json.dumps({"system": system, "prompt": " ".join(random.choices(words, k=20))})
        for _ in range(4 * MIB // shared)
    ).encode()
    pack = {**PACK, "zst": lambda content: pyarrow.compress(content, "zstd", asbytes=True)}
    name = write(tmp_path / f"rows.jsonl.{ending}", pack[ending](rows))
    assert read_contents(name, 1 << 36).digest.startswith("sha256:")


def test_what_arrives_is_limited(tmp_path: Path):
    words = refused(write(tmp_path / "rows.jsonl", LINE * 20_000), limit_bytes=MIB)
    assert "over max_dataset_bytes (1,048,576)" in words and "split it" in words


def without_end(asked: Asked) -> Answer:
    """Send rows until nobody wants them any more, or something packed in passing if it is asked for that."""
    if asked.path == "/encoded.jsonl":  # less than the limit, so that it is over it only when unpacked
        return Answer(200, {"Content-Encoding": "gzip"}, iter([gzip.compress(bytes(8 * MIB)) * 64]))
    headers = {
        "/brotli.jsonl": {"Content-Encoding": "br"},
        "/says-so.jsonl": {"Content-Length": str(1 << 40)},
    }
    return Answer(200, headers.get(asked.path, {}), endless(piece=LINE * 1000))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("rows.jsonl", "is of 1,048,577 bytes or more, over max_dataset_bytes"),
        ("rows", "is of 1,048,577 bytes or more, over max_dataset_bytes"),
        ("says-so.jsonl", "is of 1,099,511,627,776 bytes or more, over max_dataset_bytes"),
        ("encoded.jsonl", "unpacks to"),
        ("brotli.jsonl", "Content-Encoding 'br'"),
    ],
)
def test_a_server_that_never_ends_is_not_read_on(path: str, words: str):
    with scripted_server(without_end) as server:
        assert words in refused(f"{server.url}/{path}", limit_bytes=MIB)


@pytest.mark.parametrize("ending", ["lz4", "lzma", "snappy", "sz", "br", "7z", "tar", "tar.gz", "tgz", "Z"])
def test_what_is_not_unpacked_is_refused_by_name(tmp_path: Path, ending: str):
    words = refused(write(tmp_path / f"rows.jsonl.{ending}", LINE))
    assert "which is not unpacked; wanted .gz, .bz2, .xz, .zst, .zip" in words


def test_the_ending_is_that_of_the_path_and_not_of_a_query(tmp_path: Path):
    with open_source(write(tmp_path / "rows.csv.GZ", gzip.compress(b"a,b\n")), MIB) as file:
        assert file.read() == b"a,b\n" and file.file.suffix == ".csv"
    with open_source(write(tmp_path / "all.zip", zipped(b"a\tb\n", name="rows.tsv")), MIB) as file:
        assert file.read() == b"a\tb\n" and file.file.suffix == ".tsv"


def several() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("train.jsonl", LINE)
        archive.writestr("eval.jsonl", LINE)
    return packed.getvalue()


def steering() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("train\x1b[2J\n.jsonl", "eval.jsonl"):
            archive.writestr(name, LINE)
    return packed.getvalue()


def lying(content: bytes) -> bytes:
    """Say in a zip's directory that its file is small; reading it ends there, and its sum is wrong."""
    packed = bytearray(zipped(content))
    entry = packed.rindex(b"PK\x01\x02")
    packed[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    return bytes(packed)


def crowded() -> bytes:
    """A zip whose directory alone takes megabytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number:06}{'x' * 60}", b"")
    return packed.getvalue()


def locked() -> bytes:
    packed = bytearray(zipped(LINE))
    packed[6] |= 1
    packed[packed.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(packed)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(several(), "2 files (train.jsonl, eval.jsonl); wanted one", id="several"),
        pytest.param(
            steering(),
            "2 files (train\ufffd[2J .jsonl, eval.jsonl); wanted one",
            id="names that steer a terminal",
        ),
        pytest.param(lying(LINE * 100), "no sound zip", id="a size that is not true"),
        pytest.param(crowded(), "as that of thousands of files does", id="a directory that fills memory"),
        pytest.param(locked(), "with a password", id="a password"),
        # One read of these two gives all that a chunk of them unpacks to.
        pytest.param(zipped(LINE, zipfile.ZIP_BZIP2), "method 12", id="bzip2"),
        pytest.param(zipped(LINE, zipfile.ZIP_LZMA), "method 14", id="lzma"),
    ],
)
def test_a_zip_holds_one_file_and_says_the_truth_of_it(tmp_path: Path, content: bytes, words: str):
    assert words in refused(write(tmp_path / "rows.zip", content))


def table(tmp_path: Path, columns: dict[str, object], **options: object) -> str:
    path = tmp_path / "rows.parquet"
    parquet.write_table(pyarrow.table(columns), path, compression="zstd", **options)
    return str(path)


def parquet_refused(source: str, limit_bytes: int = 1 << 36) -> str:
    with pytest.raises(InvalidInput) as told:
        list(RowFile(source, limit_bytes))
    return str(told.value)


def test_parquet_is_refused_by_what_it_says_of_itself(tmp_path: Path):
    plain = {"use_dictionary": False}
    big = table(tmp_path, {"prompt": [f"{n} " * 2000 for n in range(200)]}, **plain)
    assert "over max_dataset_bytes (1,000,000)" in parquet_refused(big, 1_000_000)
    bomb = table(tmp_path, {"prompt": [" " * MIB] * 80}, **plain)
    assert "over 1,000 times its" in parquet_refused(bomb)
    wide = table(tmp_path, {f"c{n}": [1] for n in range(1001)})
    assert "1,001 columns, over 1,000" in parquet_refused(wide)


@pytest.mark.parametrize("nested", [False, True])
def test_parquet_whose_values_stand_in_many_rows_is_counted_row_by_row(tmp_path: Path, nested: bool):
    # 1 MB unpacked, by its own account; 1 GB once each row has its copy.
    rows = 1000
    values: object = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, "int32"), ["p" * MIB])
    if nested:
        turns = pyarrow.StructArray.from_arrays([values], ["content"])
        values = pyarrow.ListArray.from_arrays(pyarrow.array(range(rows + 1), "int32"), turns)
    small = table(tmp_path, {"messages": values}, dictionary_pagesize_limit=8 * MIB, store_schema=False)
    assert Path(small).stat().st_size < MIB
    usual = pyarrow.default_memory_pool()
    counted = pyarrow.proxy_memory_pool(usual)
    pyarrow.set_memory_pool(counted)
    try:
        assert "over max_dataset_bytes (67,108,864)" in parquet_refused(small, 64 * MIB)
    finally:
        pyarrow.set_memory_pool(usual)
    assert counted.max_memory() < 100 * MIB


def test_a_device_that_never_ends_is_no_file():
    assert "is a device, a pipe or a socket" in refused("/dev/zero")


def test_the_limit_is_a_parameter_of_the_release(tmp_path: Path):
    assert ReleaseParams(dataset="x").max_dataset_bytes == 64 * 2**30
    rows = write(tmp_path / "rows.jsonl", LINE * 100)
    with pytest.raises(InvalidInput, match=r"dataset .*over max_dataset_bytes \(100\)"):
        preflight(ReleaseParams(dataset=rows, base_model=str(tmp_path), max_dataset_bytes=100))
