import gzip
import io
from random import Random

import pytest

from components.errors import InvalidInput
from components.oci.gunzip import GzipReader


def unpacked(packed: bytes, size: int) -> bytes:
    reader, content = GzipReader(io.BytesIO(packed), "layer 1"), b""
    while piece := reader.read(size):
        assert len(piece) <= size
        content += piece
    assert reader.read(size) == b""
    return content


@pytest.mark.parametrize("seed", range(20))
def test_it_reads_what_pythons_reader_reads(seed: int) -> None:
    chance = Random(seed)
    packed = b""
    for _ in range(chance.randint(1, 5)):
        content = chance.randbytes(chance.choice([0, 1, 5000, 200_000])) + bytes(chance.choice([0, 300_000]))
        packed += gzip.compress(content, chance.randint(0, 9)) + bytes(chance.choice([0, 0, 7, 70_000]))
    assert unpacked(packed, chance.choice([511, 4096, 1 << 20])) == gzip.decompress(packed)


BROKEN = {
    "cut off in its head": (gzip.compress(b"a")[:5], "it is cut off"),
    "cut off in its content": (gzip.compress(bytes(1000))[:15], "it is cut off"),
    "cut off in its end": (gzip.compress(b"a")[:-1], "it is cut off"),
    "another checksum": (gzip.compress(b"a")[:-8] + bytes(8), "incorrect data check"),
    "another length": (gzip.compress(b"a")[:-4] + b"\2\0\0\0", "incorrect length check"),
    "something else behind it": (gzip.compress(b"a") + b"b" * 50, "incorrect header check"),
    "something else behind padding": (gzip.compress(b"a") + bytes(9) + b"b" * 50, "incorrect header check"),
    "nothing": (b"", "it is cut off"),
}


@pytest.mark.parametrize(("packed", "words"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_refused(packed: bytes, words: str) -> None:
    with pytest.raises(
        InvalidInput, match=f"layer 1(?s:.*)is no tar archive with gzip or without: .*{words}"
    ):
        unpacked(packed, 4096)
