"""Which files there are in a folder of a store, or under a pattern of one: s3, gs, az, hf."""

import re
from typing import Any

from components.errors import InvalidInput
from components.sources.address import Source
from components.sources.failures import explain
from components.sources.folders import MAX_ENTRIES, Found, sift

# What a store's client is told; this one asks the environment for a proxy only if told to.
OPTIONS: dict[str, dict[str, Any]] = {"gs": {"session_kwargs": {"trust_env": True}}}


def names_several(source: Source) -> bool:
    """Tell whether an address of a store stands for files by a pattern (`*`, `[...]`) or a folder (`/`)."""
    return source.target.endswith("/") or re.search(r"[*\[]", source.target) is not None


def list_store(source: Source) -> Found:
    """List the files of rows under an address of a store, as addresses.

    Raises:
        InvalidInput: There is none, there are too many, or the store can't be asked.
    """
    from fsspec.core import url_to_fs

    try:
        store, path = url_to_fs(source.target, **OPTIONS.get(source.scheme, {}))
        found = store.find(path) if source.target.endswith("/") else _files(store.glob(path, detail=True))
    except Exception as error:
        raise explain(source, error) from None
    if len(found) > MAX_ENTRIES:
        raise InvalidInput(
            source.shown,
            [f"has {len(found):,} entries, over {MAX_ENTRIES:,}; name a folder or a pattern of fewer"],
        )
    root = re.split(r"[*?\[]", source.target, maxsplit=1)[0].rpartition("/")[0]
    return sift(source.shown, [_address(source, name) for name in found], root)


def _files(found: dict[str, dict[str, Any]]) -> list[str]:
    return [f"{name}/" if about.get("type") == "directory" else name for name, about in found.items()]


def _address(source: Source, name: str) -> str:
    """Return the address of what a store has listed; it forgets the account that a container is of."""
    place, _, path = name.partition("/")
    given = source.target.removeprefix(f"{source.scheme}://").partition("/")[0]
    return f"{source.scheme}://{given if '@' in given else place}/{path}"
