"""Files of other programs, told by their first bytes, and what to make of them."""

_WORKBOOK = "save its table as CSV"
_JSON = "write it as JSON lines"
_ARROW = "write it as Parquet (`Dataset.to_parquet` of datasets)"
BEGINNINGS = {
    b"PK\x03\x04": ("a zip archive or a workbook", f"unpack it, or {_WORKBOOK}"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("a workbook or another document of an office program", _WORKBOOK),
    b"ARROW1\x00\x00": ("an Arrow file", _ARROW),
    b"\xff\xff\xff\xff": ("an Arrow stream", _ARROW),
    b"Obj\x01": ("an Avro file", _JSON),
    b"SQLite format 3\x00": ("an SQLite database", "export its table as CSV"),
    b"%PDF-": ("a PDF", "write its questions and answers as rows"),
    **{bytes([0x80, version]): ("a pickle", f"{_JSON}; pickles run code") for version in range(2, 6)},
}


def what_it_is(head: bytes) -> str:
    """Return what a file is that no rows can be read from, and what to do; empty: it may have rows."""
    for beginning, (kind, remedy) in BEGINNINGS.items():
        if head.startswith(beginning):
            return f"is {kind}, which is not read here; {remedy}"
    return ""
