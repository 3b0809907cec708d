import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.oci.adapters import ADAPTER_FILES, adapter_digest, write_layer


def make_adapter(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    for name, content in zip(ADAPTER_FILES, (b'{"r": 16}', weights), strict=True):
        (folder / name).write_bytes(content)
    return folder


def test_the_digest_is_that_of_the_layer(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter")
    layer = io.BytesIO()
    write_layer(adapter, layer)

    assert adapter_digest(adapter) == f"sha256:{hashlib.sha256(layer.getvalue()).hexdigest()}"
    with tarfile.open(fileobj=io.BytesIO(layer.getvalue())) as tar:
        assert tar.getnames() == ["data", "data/adapter_config.json", "data/adapter_model.safetensors"]


def test_the_digest_sees_nothing_but_the_content(tmp_path: Path) -> None:
    one, other = make_adapter(tmp_path / "one"), make_adapter(tmp_path / "other")
    weights = other / ADAPTER_FILES[1]
    weights.chmod(0o600)
    os.utime(weights, (1, 1))
    (other / "README.md").write_text("no part of the adapter")
    assert adapter_digest(one) == adapter_digest(other)

    weights.write_bytes(b"Weights")
    assert adapter_digest(one) != adapter_digest(other)


@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_every_file_that_lacks_is_named(tmp_path: Path, empty: bool) -> None:
    for name in ADAPTER_FILES if empty else ():
        (tmp_path / name).touch()
    with pytest.raises(InvalidInput) as raised:
        adapter_digest(tmp_path)
    assert [problem.split(":")[0] for problem in raised.value.problems] == list(ADAPTER_FILES)
    assert "save_pretrained" in str(raised.value)
