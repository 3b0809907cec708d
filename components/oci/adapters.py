"""What an adapter is on disk, and the one digest by which every stage knows it.

The digest is the sha256 of the uncompressed layer that KAITO's images hold: a tar with
`data/adapter_config.json` and `data/adapter_model.safetensors`, written so that equal files give
equal bytes. It is therefore also the `diff_id` of the adapter's image.
"""

import json
import tarfile
from pathlib import Path
from typing import IO

from components.errors import InvalidInput
from components.oci.hashing import HashingWriter

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
LAYER_FOLDER = "data"


def write_layer(adapter_dir: Path, out: IO[bytes] | HashingWriter) -> None:
    """Write the adapter's layer, uncompressed, to `out`.

    Raises:
        InvalidInput: A file of the adapter is missing or empty.
    """
    problems = [
        f"{name}: missing or empty; a PEFT adapter saved with save_pretrained() has it"
        for name in ADAPTER_FILES
        if not (adapter_dir / name).is_file() or (adapter_dir / name).stat().st_size == 0
    ]
    if problems:
        raise InvalidInput(f"adapter {adapter_dir}", problems)
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        folder = tarfile.TarInfo(LAYER_FOLDER)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name in ADAPTER_FILES:
            entry = tarfile.TarInfo(f"{LAYER_FOLDER}/{name}")
            entry.size, entry.mode = (adapter_dir / name).stat().st_size, 0o644
            with (adapter_dir / name).open("rb") as content:
                tar.addfile(entry, content)


def adapter_digest(adapter_dir: Path) -> str:
    """Return the adapter's digest, `sha256:` and 64 hex digits.

    Raises:
        InvalidInput: A file of the adapter is missing or empty.
    """
    layer = HashingWriter()
    write_layer(adapter_dir, layer)
    return layer.digest


def adapter_rank(adapter_path: Path) -> int:
    """Return the highest rank that an adapter has in any layer: an engine is started with room for it.

    Raises:
        InvalidInput: Its config is no JSON, or holds no sound rank.
    """
    what = f"adapter {adapter_path}"
    try:
        config = json.loads((adapter_path / "adapter_config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(what, [f"adapter_config.json: not JSON ({error}); save it again"]) from error
    ranks = [config.get("r"), *(config.get("rank_pattern") or {}).values()]
    if not all(isinstance(rank, int) and rank > 0 for rank in ranks):
        raise InvalidInput(
            what, [f"adapter_config.json: r and rank_pattern give {ranks}, wanted whole numbers above 0"]
        )
    return int(max(ranks))
