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
from components.web import quoted

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
LAYER_FOLDER = "data"
MAX_USTAR_BYTES = 0o77777777777


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
    # ustar has no number for more; small adapters keep it, since the format is part of their digest.
    large = any((adapter_dir / name).stat().st_size > MAX_USTAR_BYTES for name in ADAPTER_FILES)
    form = tarfile.GNU_FORMAT if large else tarfile.USTAR_FORMAT
    with tarfile.open(fileobj=out, mode="w|", format=form) as tar:
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
        config = json.loads((adapter_path / "adapter_config.json").read_bytes())
    except (ValueError, RecursionError) as error:  # the second for what is nested absurdly deep
        reason = quoted(str(error))
        raise InvalidInput(what, [f"adapter_config.json: not JSON ({reason}); save it again"]) from error
    if not isinstance(config, dict):
        raise InvalidInput(what, ["adapter_config.json: is no JSON object; save it again"])
    pattern = config.get("rank_pattern") or {}
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else [pattern])]
    if not all(type(rank) is int and rank > 0 for rank in ranks):
        problem = f"r and rank_pattern give {quoted(str(ranks))}, wanted whole numbers above 0"
        raise InvalidInput(what, [f"adapter_config.json: {problem}"])
    return int(max(ranks))
