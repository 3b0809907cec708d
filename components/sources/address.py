"""What a person names as a source, checked: what was checked is what is opened."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from components.errors import InvalidInput
from components.web import METADATA_REFUSED, WEB, is_metadata_host, parse_address, shown

STORES = ("s3", "gs", "az", "hf")
WANTED = "wanted a path, or a URL of https, http, s3, gs, az, hf or oci"
_OTHER_NAMES = {
    "docker": "oci",
    "gcs": "gs",
    "s3a": "s3",
    "s3n": "s3",
    "abfs": "az",
    "abfss": "az",
    "wasb": "az",
    "wasbs": "az",
}
_PLACES = {
    "s3": re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*"),  # an access point's ARN has colons
    "gs": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
    "az": re.compile(r"[A-Za-z0-9$][A-Za-z0-9-]*(@[A-Za-z0-9][A-Za-z0-9.-]*)?"),  # container@account
    "hf": re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"),
}


@dataclass(frozen=True)
class Source:
    """A file of rows.

    Attributes:
        scheme: Empty for a path of this machine.
        target: What is opened.
        shown: Its name as anybody may read it: without credentials and query.
        file: Its path, whose ending says what it is.
    """

    scheme: str
    target: str
    shown: str
    file: PurePosixPath


def parse_source(name: str) -> Source:
    """Parse a path or URL.

    Raises:
        InvalidInput: It is of no documented kind, or leads where no file is fetched from.
    """
    scheme, separator, rest = name.partition("://")
    if not separator:
        return Source("", name, name, PurePosixPath(name))
    scheme = scheme.lower()
    if scheme in WEB:
        address = parse_address(name, credentials=True)
        if is_metadata_host(address.host):
            raise InvalidInput(address.shown, [METADATA_REFUSED])
        return Source(scheme, str(address), address.shown, PurePosixPath(address.path))
    what = shown(name)
    if "::" in name:
        raise InvalidInput(what, [f"chains one protocol to another (::), which is not opened; {WANTED}"])
    if scheme in ("file", "local"):
        path = rest if rest.startswith("/") else f"/{rest.partition('/')[2]}"
        raise InvalidInput(what, [f"is a file by URL; name the path itself: {path}"])
    if scheme == "oci":
        if is_metadata_host(parse_address(f"https://{rest.partition('/')[0]}").host):
            raise InvalidInput(what, [METADATA_REFUSED])
        return Source(scheme, f"oci://{rest}", what, PurePosixPath(rest))
    if scheme not in STORES:
        instead = _OTHER_NAMES.get(scheme)
        hint = f"; write {instead}://" if instead else ""
        raise InvalidInput(what, [f"is of a kind that is not opened ({scheme}://){hint}; {WANTED}"])
    place, _, path = rest.partition("/")
    if not _PLACES[scheme].fullmatch(place):
        credentials = "; credentials come from the environment" if "@" in place else ""
        raise InvalidInput(what, [f"names no place in a store{credentials}; wanted {scheme}://NAME/PATH"])
    return Source(scheme, f"{scheme}://{rest}", what, PurePosixPath(path.partition("?")[0]))
